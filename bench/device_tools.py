"""Who attaches a device, and the servers behind it, for bench/device-guest.py: all of it runs inside the machine."""
import os, subprocess, sys, time

from figures import PROGRAM, cpu_seconds

IMAGE = os.path.join(os.environ.get('SCRATCH', '/var/tmp'), 'bench.img')
SIZE = 256 << 20
PKI = '/var/tmp/bench-pki'
KEYS = f'{PKI}/keys.psk'
EXPORT = 'image'  # of nbd-server, which knows none without a name


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def wait_until(condition, what, seconds=60):
    """It is emulated: qemu-nbd alone may need 10 seconds to begin, and to ask costs as well."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f'bench: {what}')
        time.sleep(0.1)


def processes_named(name):
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm') as text:
                if text.read().strip() == name:
                    found.append(int(pid))
        except OSError:
            pass  # it has ended meanwhile
    return found


# ---- servers: one for each kind of client, on the image; all stay for the whole run

class Store:
    """A server of the image, on TCP's loopback or on a Unix socket."""

    def __init__(self, port=None, sock=None):
        self.port, self.sock = port, sock

    def start(self, **more):
        command = self.command()
        before = set(processes_named(command[0]))
        process = subprocess.Popen(command, **more)
        wait_until(lambda: self.listens() or process.poll() not in (None, 0), f'{" ".join(command)} does not listen')
        if process.poll() not in (None, 0):
            sys.exit(f'bench: {" ".join(command)} ended with {process.returncode}')
        # nbd-server goes to the background.
        self.pid = process.pid if process.poll() is None else \
            (set(processes_named(command[0])) - before).pop()
        return process

    def listens(self):
        return run('ss', '-Htln', f'sport = :{self.port}') if self.port else os.path.exists(self.sock)


class Nbdkit(Store):
    def __init__(self, *where, tls=(), **more):
        super().__init__(*where, **more)
        self.tls, self.verbose = tls, []

    def command(self):
        place = ['-i', 'localhost', '-p', str(self.port)] if self.port else ['-U', self.sock]
        return ['nbdkit', '-f', *self.verbose, *place, *self.tls, 'file', IMAGE]


class NbdServer(Store):
    """With a process for each connection."""

    def __init__(self, *where, tls='', **more):
        super().__init__(*where, **more)
        self.tls = tls

    def command(self):
        config = f'/tmp/bench-nbd-server-{self.port}.conf'
        # It listens on a port in any case.
        place = f'port = {self.port}' if self.port else f'unixsock = {self.sock}\nport = 10816'
        with open(config, 'w') as out:
            out.write(f'[generic]\nlistenaddr = 127.0.0.1\n{place}\nallowlist = true\n{self.tls}\n'
                      f'[{EXPORT}]\nexportname = {IMAGE}\nflush = true\nfua = true\n')
        return ['nbd-server', '-C', config, '-p', config + '.pid']


class QemuServer(Store):
    def __init__(self, *where, tls=(), **more):
        super().__init__(*where, **more)
        self.tls = tls

    def command(self):
        image = f'driver=raw,file.driver=file,file.filename={IMAGE},file.locking=off'
        return ['qemu-nbd', '-t', '-e', '16', '--cache=writeback', '-b', 'localhost', '-p', str(self.port), *self.tls,
                '--image-opts', image]


STORES = {
    'nbdkit': Nbdkit(10809), 'nbdkit PSK': Nbdkit(10810, tls=['--tls=require', f'--tls-psk={KEYS}']),
    'nbdkit X.509': Nbdkit(10811, tls=['--tls=require', f'--tls-certificates={PKI}', '--tls-verify-peer']),
    'nbd-server': NbdServer(10812),
    'nbd-server X.509': NbdServer(10813, tls=f'force_tls = true\ncacertfile = {PKI}/ca-cert.pem\n'
                                             f'certfile = {PKI}/server-cert.pem\nkeyfile = {PKI}/server-key.pem'),
    'qemu-nbd': QemuServer(10814),
    'qemu-nbd X.509': QemuServer(10815, tls=['--object', f'tls-creds-x509,id=keys,endpoint=server,dir={PKI}',
                                             '--tls-creds', 'keys']),
    'nbdkit, Unix': Nbdkit(sock='/tmp/bench-nbdkit.sock'),
    'nbd-server, Unix': NbdServer(sock='/tmp/bench-nbd-server.sock'),
}


# ---- clients: what makes the device

class Tool:
    """Attaches the device by a command and detaches it by another; `engine` is the name of its processes, which are
    between the driver and the store; `store` a name of STORES, None where it reads the image itself."""

    def __init__(self, name, engine, store, attach, device, detach):
        self.name, self.engine, self.store = name, engine, store
        self.attach_command, self.detach_command, self.wanted = attach, detach, device

    def attach(self):
        run('udevadm', 'settle')  # CONNECT fails while it looks at the node
        servers = {one.pid for one in STORES.values() if hasattr(one, 'pid')}
        self.device = run(*self.attach_command).strip() if not self.wanted else self.wanted
        if self.wanted:
            run(*self.attach_command)
        wait_until(lambda: int(run('blockdev', '--getsize64', self.device)) == SIZE, f'{self.name}: no size')
        self.engines = [pid for pid in processes_named(self.engine) if pid not in servers] if self.engine else []
        return self.device

    def detach(self):
        run(*[part.format(device=self.device) for part in self.detach_command])
        # qemu-nbd ends in the background, and so do nbd-client's processes for TLS.
        wait_until(lambda: not any(os.path.exists(f'/proc/{pid}') for pid in self.engines), f'{self.name} stays')

    def cpu(self):
        """Of its own processes, and of the server's."""
        return cpu_seconds(*self.engines), cpu_seconds(STORES[self.store].pid) if self.store else 0


def nbdring(name, store, uri, *options):
    return Tool(name, 'nbdring', store, [PROGRAM, 'attach', uri, '-c', '4', *options], None,
                [PROGRAM, 'detach', '{device}'])


def nbd_client(name, store, *more):
    """With TLS it leaves processes that carry the bytes between the driver and the server."""
    server = STORES[store]
    place = ['-u', server.sock] if server.sock else ['localhost', str(server.port)]
    export = ['-N', EXPORT] if isinstance(server, NbdServer) else []
    return Tool(name, 'nbd-client', store,
                ['nbd-client', *place, '/dev/nbd10', *export, '-C', '4', '-b', '4096', *more],
                '/dev/nbd10', ['nbd-client', '-d', '{device}'])


def qemu_nbd(name, store, *credentials):
    image = f'driver=raw,file.driver=file,file.filename={IMAGE},file.locking=off'
    if store:
        image = f'driver=raw,file.driver=nbd,file.host=localhost,file.port={STORES[store].port}'
    tls = ',file.tls-creds=keys' if credentials else ''
    return Tool(name, 'qemu-nbd', store, ['qemu-nbd', '-c', '/dev/nbd11', '--cache=writeback', *credentials,
                                          '--image-opts', image + tls],
                '/dev/nbd11', ['qemu-nbd', '-d', '{device}'])


def loop_device():
    return Tool('loop device (the limit)', None, None, ['losetup', '-f', '--show', IMAGE], None,
                ['losetup', '-d', '{device}'])


# ---- keys

def certificate(stem, *lines):
    """Of the authority, of the server or of the client, in PKI."""
    template = f'{PKI}/{stem}.template'
    with open(template, 'w') as out:
        out.write('\n'.join((*lines, 'expiration_days=30', '')))
    key, cert = f'{PKI}/{stem}-key.pem', f'{PKI}/{stem}-cert.pem'
    quiet = {'check': True, 'stderr': subprocess.DEVNULL}
    subprocess.run(['certtool', '--generate-privkey', '--key-type=ecdsa', '--outfile', key], **quiet)
    how = ['--generate-self-signed'] if stem == 'ca' else [
        '--generate-certificate', '--load-ca-privkey', f'{PKI}/ca-key.pem', '--load-ca-certificate',
        f'{PKI}/ca-cert.pem']
    subprocess.run(['certtool', *how, '--load-privkey', key, '--template', template, '--outfile', cert], **quiet)
    os.chmod(key, 0o600)


def make_keys():
    os.makedirs(PKI, mode=0o700)
    run('psktool', '-u', 'alice', '-p', KEYS)
    certificate('ca', 'cn=bench', 'ca', 'cert_signing_key')
    certificate('server', 'cn=localhost', 'dns_name=localhost', 'tls_www_server', 'signing_key')
    certificate('client', 'cn=alice', 'tls_www_client', 'signing_key')
