// The stand-in for nbd.js in a browser: original-page.html?ENDPOINT, served on its main thread. There is no line in the
// document per read: the page as shipped had one and became slower with each.

import { OriginalServer } from './original-server.mjs';

const state = document.getElementById('state');
let server;

document.getElementById('file').addEventListener('change', (event) => {
  server = new OriginalServer(decodeURIComponent(location.search.slice(1)), event.target.files[0]);
  server.onended = ({ code }) => { state.value = `ended: code ${code}`; };
  server.start();
  state.value = 'started';
});
document.getElementById('stop').addEventListener('click', () => server.stop());
