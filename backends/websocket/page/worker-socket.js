// A WebSocket as the session and the server want it: bytes in and out, one end, a bound on what waits to be sent.

const unsentBytesMax = 8 * 1024 * 1024; // WebKit's buffer ends at 100 MB, and bufferedAmount lags behind
const drainWait = 4; // ms; nothing tells when a WebSocket has sent

export function openSocket(url, protocols, { open, message, close }) {
  const socket = new WebSocket(url, protocols);
  socket.binaryType = 'arraybuffer';
  let isOver = false;
  socket.onopen = () => open();
  socket.onmessage = ({ data }) => {
    if (typeof data !== 'string') message(new Uint8Array(data));
  };
  socket.onclose = ({ code, reason }) => {
    isOver = true;
    close(code, reason);
  };
  return {
    send: (bytes) => {
      if (!isOver) socket.send(bytes);
    },
    close: (code, reason) => socket.close(code, reason),
    hasRoom: () => socket.bufferedAmount < unsentBytesMax,
    whenRoom: (act) => {
      const look = () => {
        if (isOver) return;
        if (socket.bufferedAmount < unsentBytesMax / 2) act();
        else setTimeout(look, drainWait);
      };
      setTimeout(look, drainWait);
    },
  };
}
