"""What the benchmarks share: a server and its CPU, fio beside it, rows and ratios over interleaved rounds.

Every benchmark has the same results, which --json writes: {title: [round, …]}, a round {row: {figure: value}}. A row
whose name begins with "nbdring" is ours; one with "null" or "limit" in its name shows what can be had at most, and
competes with nobody; the others are peers. The best peer is the best of each round, for each figure alone.
"""
import argparse, json, os, signal, socket, statistics, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.environ.get('NBDRING', os.path.join(TOP, 'build', 'nbdring'))
MIB = 1 << 20
HIGHER_IS_BETTER = ('iops', 'mib')


def stat_of(pid):
    """From its parent's number on, as proc(5) counts from 4."""
    with open(f'/proc/{pid}/stat') as text:
        return text.read().rsplit(')', 1)[1].split()[1:]


def family_of(pids):
    """Processes and their descendants."""
    parents = {}
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            parents.setdefault(int(stat_of(name)[0]), []).append(int(name))
        except OSError:
            pass  # it has ended meanwhile
    family = list(pids)
    for member in family:
        family += (child for child in parents.get(member, []) if child not in pids)
    return family


def cpu_seconds(*pids):
    """User and system time of processes with their descendants, of ended ones and ended threads too."""
    while True:
        family = family_of(pids)
        try:
            ticks = sum(int(field) for member in family for field in stat_of(member)[10:14])
        except OSError:
            continue  # one has ended meanwhile: its parent has its time now
        if family == family_of(pids):
            return ticks / os.sysconf('SC_CLK_TCK')


def memory_kib(pid):
    """Pss: what is its alone, and its share of what others have too."""
    with open(f'/proc/{pid}/smaps_rollup') as text:
        return next(int(line.split()[1]) for line in text if line.startswith('Pss:'))


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
    """A server on a Unix socket, for as long as the `with` lasts. One that goes to the background leaves SOCKET.pid."""

    def __init__(self, name, command, sock, export=''):
        self.name, self.command, self.sock = name, command, sock
        self.uri = f'nbd+unix:///{export}?socket={sock}'
        self.pid_file = sock + '.pid'

    def __enter__(self):
        for path in (self.sock, self.pid_file):
            if os.path.exists(path):
                os.unlink(path)
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not os.path.exists(self.sock):
            if self.process.poll() not in (None, 0) or time.monotonic() > deadline:
                sys.exit(f'bench: {self.name} did not start')
            time.sleep(0.02)
        time.sleep(0.1)
        self.pid = self.process.pid
        if self.process.poll() == 0:
            self.pid = int(open(self.pid_file).read())
        return self

    def __exit__(self, *_):
        end(self.pid, self.process)


def end(pid, process):
    """A server that is our child, or one in the background that our child left."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while process.poll() is None or (pid != process.pid and os.path.exists(f'/proc/{pid}')):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += 10
        time.sleep(0.01)


def fio(target, arguments, seconds, patience=60):
    """One run on the arguments' engine; what fio says of the side that it used."""
    result = subprocess.run(
        ['fio', '--name=bench', *target, *arguments, '--group_reporting', '--time_based', f'--runtime={seconds}',
         '--norandommap', '--randrepeat=0', '--output-format=json'],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds + patience)
    if result.returncode != 0:
        sys.exit(f'bench: fio failed against {target[-1]}: {result.stderr.decode()[-400:]}')
    text = result.stdout.decode()
    job = json.loads(text[text.index('{'):])['jobs'][0]
    return job['read'] if job['read']['total_ios'] else job['write']


def rates_of(side):
    percentiles = side['clat_ns'].get('percentile', {})
    return {'iops': side['iops'], 'mib': side['bw_bytes'] / MIB,
            'p50_us': percentiles.get('50.000000', 0) / 1000, 'p99_us': percentiles.get('99.000000', 0) / 1000}


def measure(server, arguments, connections, seconds, origin=None):
    """One fio run against a Server; CPU is the server's own, per request that fio completed. Of an origin behind it:
    how many processors it kept busy."""
    before, origin_before = cpu_seconds(server.pid), cpu_seconds(origin) if origin else 0
    side = fio(['--ioengine=nbd', f'--uri={server.uri}'], [*arguments, f'--numjobs={connections}'], seconds)
    used = cpu_seconds(server.pid) - before
    behind = {'origin_cores': (cpu_seconds(origin) - origin_before) / side['runtime'] * 1e3} if origin else {}
    return {**rates_of(side), 'cpu_us': used / side['total_ios'] * 1e6, **behind}


# ---- rows and ratios

def is_limit(row):
    return 'null' in row or 'limit' in row


def is_ours(row):
    return row.startswith('nbdring')


def peers_of(rows):
    return [row for row in rows if not is_ours(row) and not is_limit(row)]


def best(figures, key, rows):
    values = [figures[row][key] for row in rows if figures[row].get(key)]
    return (max if key in HIGHER_IS_BETTER else min)(values) if values else None


def ratios(rounds, row, key, others):
    """Of each round: to the best of `others`."""
    pairs = [(one[row].get(key), best(one, key, others)) for one in rounds]
    return [value / other for value, other in pairs if value is not None and other]


def short(value):
    """Three digits at least: what a ratio, and a figure of any size, needs."""
    return f'{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}'


def spread(values):
    return f'{short(statistics.median(values)):>4} ({short(min(values))}-{short(max(values))})' if values else ''


def report(title, rounds, columns, compared, base=None):
    """A table of medians. columns: {heading: figure}; compared: of the figures, those whose ratio to the best peer is
    shown, with its spread, and then to the row `base`, if there is one."""
    rows = [row for row in rounds[0] if all(row in one for one in rounds)]
    if not rows:
        return
    width = max(map(len, rows))
    heads = {figure: heading.split()[0] for heading, figure in columns.items()}
    cells = {figure: max(len(heading), 7) for heading, figure in columns.items()}
    print(f'\n{title}')
    line = ' '.join(f'{heading:>{cells[figure]}}' for heading, figure in columns.items())
    line += '  ' + ' '.join(f'{heads[figure] + "/best peer":16}' for figure in compared)
    print(f'  {"":{width}} {line}{f" each/{base}" if base in rows else ""}'.rstrip())
    for row in rows:
        line = ' '.join(f'{short(statistics.median(one[row][figure] for one in rounds)):>{cells[figure]}}'
                        if figure in rounds[0][row] else ' ' * cells[figure] for figure in columns.values())
        line += '  ' + ' '.join(f'{spread(ratios(rounds, row, figure, peers_of(rows))):16}' for figure in compared)
        if base in rows:
            line += ' ' + ' '.join(f'{short(statistics.median(ratios(rounds, row, figure, [base]))):>4}'
                                   for figure in compared)
        print(f'  {row:{width}} {line}'.rstrip(), flush=True)


def report_servers(title, rounds):
    """Of `measure`. Large requests by their bytes, small ones by their number; where there is an origin, its processors
    instead of p99."""
    rate = {'IOPS': 'iops'} if '4k' in title else {'MiB/s': 'mib'}
    is_forwarded = any('origin_cores' in figures for figures in rounds[0].values())
    last = {'origin': 'origin_cores'} if is_forwarded else {'p99 us': 'p99_us'}
    columns = {**rate, 'CPU us': 'cpu_us', 'p50 us': 'p50_us', **last}
    report(title, rounds, columns, [*rate.values(), 'cpu_us', 'p50_us'], 'nbdkit')


def parser(description, seconds=3, rounds=3):
    """With the options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument('--seconds', type=int, default=seconds, help='of each measurement')
    made.add_argument('--rounds', type=int, default=rounds)
    made.add_argument('--only', default='', help='a part of the titles to measure')
    made.add_argument('--json', help='where to write all rounds')
    return made


def save(options, results):
    if options.json:
        with open(options.json, 'w') as out:
            json.dump(results, out, indent=1)
