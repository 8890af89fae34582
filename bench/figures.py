"""What the native benchmarks share: running fio beside a server, its CPU, ratios over interleaved rounds."""
import json, os, signal, socket, statistics, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.environ.get('NBDRING', os.path.join(TOP, 'build', 'nbdring'))
MIB = 1 << 20


def cpu_seconds(pid):
    """User and system time of a process, of its ended threads too."""
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def random_image(path, mebibytes=512):
    """Real blocks, in the page cache."""
    with open(path, 'wb') as out:
        for _ in range(mebibytes):
            out.write(os.urandom(MIB))
        out.flush()
        os.fsync(out.fileno())


class Server:
    """A server on a Unix socket, for as long as the `with` lasts."""

    def __init__(self, name, command, sock):
        self.name, self.command, self.sock = name, command, sock

    def __enter__(self):
        if os.path.exists(self.sock):
            os.unlink(self.sock)
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not os.path.exists(self.sock):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f'bench: {self.name} did not start')
            time.sleep(0.02)
        time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def measure(server, arguments, connections, seconds):
    """One fio run against a Server; CPU is the server's own, per request that fio completed."""
    before = cpu_seconds(server.process.pid)
    result = subprocess.run(
        ['fio', '--name=bench', '--ioengine=nbd', f'--uri=nbd+unix:///?socket={server.sock}', *arguments,
         f'--numjobs={connections}', '--group_reporting', '--time_based', f'--runtime={seconds}',
         '--norandommap', '--randrepeat=0', '--output-format=json'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds + 60)
    used = cpu_seconds(server.process.pid) - before
    if result.returncode != 0:
        sys.exit(f'bench: fio failed against {server.name}: {result.stderr.decode()[-400:]}')
    text = result.stdout.decode()
    job = json.loads(text[text.index('{'):])['jobs'][0]
    side = job['read'] if job['read']['total_ios'] else job['write']
    percentiles = side['clat_ns'].get('percentile', {})
    return {
        'iops': side['iops'],
        'mib': side['bw_bytes'] / MIB,
        'cpu_us': used / side['total_ios'] * 1e6,
        'p50_us': percentiles.get('50.000000', 0) / 1000,
        'p99_us': percentiles.get('99.000000', 0) / 1000,
    }


def ratio(rounds, server, key, peer):
    values = [r[server][key] / r[peer][key] for r in rounds if r[peer][key]]
    if not values:
        return ''
    return f'{statistics.median(values):5.2f} ({min(values):.2f}-{max(values):.2f})'


def report(name, rounds, servers, peer='nbdkit'):
    width = max(len(s) for s in servers)
    print(f'\n{name}')
    print(f'  {"":{width}} {"IOPS":>8} {"MiB/s":>7} {"CPU us":>7} {"p50 us":>7} {"p99 us":>7}   '
          f'{"IOPS ratio":17} {"CPU ratio":17} p50 ratio')
    for server in servers:
        median = {k: statistics.median(r[server][k] for r in rounds) for k in rounds[0][server]}
        line = (f'  {server:{width}} {median["iops"]:8.0f} {median["mib"]:7.0f} {median["cpu_us"]:7.2f} '
                f'{median["p50_us"]:7.1f} {median["p99_us"]:7.1f}')
        if peer in servers:
            line += '   ' + ' '.join(f'{ratio(rounds, server, k, peer):17}' for k in ('iops', 'cpu_us', 'p50_us'))
        print(line.rstrip(), flush=True)
