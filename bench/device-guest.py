#!/usr/bin/env python3
# vm-timeout: 3600
# vm-memory: 4096
# vm-allow: nbd1[01]|ldm_validate_partition_table
# (the peers: udev looks at their devices while they are being disconnected)
"""Runs inside the machine (bench/device): fio on /dev/nbdN, attached by nbdring, nbd-client and qemu-nbd in turn.

All serve the same 256 MiB image in the page cache of the machine's ext4, four connections where the tool can: the file
itself; the file behind a server on TCP's loopback (nbdkit, nbd-server, qemu-nbd); the same with TLS. TLS is each tool's
own default for its kind of keys, and the cipher that came of it is told: nbd-client has no pre-shared keys, so all are
measured with what they can. Rounds are interleaved.

What is counted, in microseconds for each request: "tool", user and system time of the processes between the driver and
the store (nbd-client without TLS has none: the driver's own threads, which the kernel charges to nobody, do that);
"server", that of the server behind them; "all", every processor's time that was not idle, fio's own included, which
leaves nobody out.
"""
import json, os, re, subprocess, sys

from device_tools import IMAGE, KEYS, PKI, SIZE, STORES, loop_device, make_keys, nbd_client, nbdring, qemu_nbd
from figures import fio, parser, rates_of, report


SERVERS_LOG = '/tmp/bench-servers.log'  # they say more than anyone wants to know, but if one does not start
# Its short options for these are in its help, but not in 3.24's program.
NBD_CLIENT_TLS = ['-cacertfile', f'{PKI}/ca-cert.pem', '-certfile', f'{PKI}/client-cert.pem', '-keyfile',
                  f'{PKI}/client-key.pem', '-tlshostname', 'localhost']
QEMU_X509 = ['--object', f'tls-creds-x509,id=keys,endpoint=client,dir={PKI}']
QEMU_PSK = ['--object', f'tls-creds-psk,id=keys,endpoint=client,username=alice,dir={PKI}']


def plain(store, export=''):
    uri = f'nbd://localhost:{STORES[store].port}/{export}'
    return [nbdring('nbdring -c 4', store, uri), nbdring('nbdring -c 4, kernel path', store, uri, '--path=kernel'),
            nbd_client('nbd-client -C 4, direct', store)]


def with_tls(store, export=''):
    uri = f'nbds://localhost:{STORES[store].port}/{export}?tls-certificates={PKI}'
    return [nbdring('nbdring -c 4, X.509', store, uri),
            nbd_client('nbd-client -C 4, X.509', store, *NBD_CLIENT_TLS)]


GROUPS = {
    'local': [nbdring('nbdring -c 4', None, IMAGE),
              nbd_client('nbd-client -C 4 over nbdkit', 'nbdkit, Unix'),
              nbd_client('nbd-client -C 4 over nbd-server', 'nbd-server, Unix'),
              qemu_nbd('qemu-nbd -c', None), loop_device()],
    'nbdkit': [*plain('nbdkit'), qemu_nbd('qemu-nbd -c', 'nbdkit')],
    'nbd-server': plain('nbd-server', 'image'),
    'qemu-nbd': plain('qemu-nbd'),
    'nbdkit, TLS': [*with_tls('nbdkit X.509'),
                    nbdring('nbdring -c 4, PSK', 'nbdkit PSK',
                            f'nbds://alice@localhost:{STORES["nbdkit PSK"].port}/?tls-psk-file={KEYS}'),
                    qemu_nbd('qemu-nbd -c, X.509', 'nbdkit X.509', *QEMU_X509),
                    qemu_nbd('qemu-nbd -c, PSK', 'nbdkit PSK', *QEMU_PSK)],
    'nbd-server, TLS': with_tls('nbd-server X.509', 'image'),
    'qemu-nbd, TLS': with_tls('qemu-nbd X.509'),
}
RANDOM_4K_READ = ('4k random read, depth 32, 4 jobs', ['--rw=randread', '--bs=4k', '--iodepth=32', '--numjobs=4'])
RANDOM_4K_WRITE = ('4k random write, depth 32, 4 jobs', ['--rw=randwrite', '--bs=4k', '--iodepth=32', '--numjobs=4'])
ONE_4K_READ = ('4k random read, depth 1', ['--rw=randread', '--bs=4k', '--iodepth=1'])
READ_256K = ('256k read, depth 8, 2 jobs', ['--rw=randread', '--bs=256k', '--iodepth=8', '--numjobs=2'])
WRITE_256K = ('256k write, depth 8, 2 jobs', ['--rw=randwrite', '--bs=256k', '--iodepth=8', '--numjobs=2'])


def scenarios_of(group):
    if group == 'local':
        return [RANDOM_4K_READ, RANDOM_4K_WRITE, ONE_4K_READ, READ_256K, WRITE_256K]
    return [RANDOM_4K_READ, READ_256K] if 'TLS' in group else [RANDOM_4K_READ, ONE_4K_READ, READ_256K]


def busy_seconds():
    """Of all processors: neither idle nor waiting."""
    with open('/proc/stat') as text:
        ticks = [int(field) for field in text.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf('SC_CLK_TCK')


def measure(tool, scenarios, seconds):
    """Of one tool, attached once: {scenario: figures}. One that fails is told of, and has no row."""
    found = {}
    try:
        measure_attached(tool, scenarios, seconds, found)
    except (subprocess.SubprocessError, SystemExit) as error:
        print(f'FAILED: {tool.name} on {tool.store}: {error}', flush=True)
    return found


def measure_attached(tool, scenarios, seconds, found):
    device = tool.attach()
    try:
        for name, arguments in scenarios:
            before, busy = tool.cpu(), busy_seconds()
            side = fio(['--ioengine=libaio', '--direct=1', f'--filename={device}'], arguments, seconds, 120)
            busy = busy_seconds() - busy
            used = [now - then for now, then in zip(tool.cpu(), before)]
            each = 1e6 / side['total_ios']
            found[name] = {**rates_of(side), 'tool_us': used[0] * each, 'server_us': used[1] * each,
                           'all_us': busy * each}
    finally:
        tool.detach()


def cipher_of(tool):
    """As nbdkit sees it, from a server that is verbose for this one moment."""
    server, log = STORES[tool.store], f'{PKI}/server.log'
    server.verbose = ['-v', '-D', 'nbdkit.tls.session=1']
    with open(log, 'w') as out:
        process = server.start(stderr=out)
        try:
            tool.attach()
            tool.detach()
        finally:
            process.terminate()
            process.wait()
    server.verbose = []
    with open(log) as text:
        found = re.search('TLS session: (.*)', text.read())
    return found.group(1) if found else 'unknown'


def prepare(groups):
    for module in ('nbd', 'loop'):
        subprocess.run(['modprobe', module], check=True)
    with open(IMAGE, 'wb') as out:
        for _ in range(SIZE >> 20):
            out.write(os.urandom(1 << 20))
    make_keys()
    if 'nbdkit, TLS' in groups:
        for tool in GROUPS['nbdkit, TLS']:
            print(f'cipher: {tool.name:28} {cipher_of(tool)}', flush=True)
    for store in STORES.values():
        with open(SERVERS_LOG, 'a') as log:
            store.start(stderr=log)


def main():
    asked = parser(__doc__, seconds=2)
    asked.add_argument('--group', choices=GROUPS, action='append', help='of the rows; repeatable')
    options = asked.parse_args()
    groups = options.group or list(GROUPS)
    chosen = {title: [] for title in (f'{group}: {name}' for group in groups for name, _ in scenarios_of(group))
              if options.only in title}
    try:
        prepare(groups)
    except SystemExit:
        with open(SERVERS_LOG) as log:
            print(log.read(), file=sys.stderr)
        raise
    well = True
    for number in range(options.rounds):
        print(f'round {number + 1} of {options.rounds}', flush=True)
        for group in groups:
            scenarios = [one for one in scenarios_of(group) if f'{group}: {one[0]}' in chosen]
            # The other way round in every second one: what comes first has the coldest machine.
            tools = GROUPS[group] if number % 2 == 0 else reversed(GROUPS[group])
            found = {tool.name: measure(tool, scenarios, options.seconds) for tool in tools}
            for name, _ in scenarios:
                figures = {tool: each[name] for tool, each in found.items() if name in each}
                well = well and len(figures) == len(found)
                chosen[f'{group}: {name}'].append(figures)
    with open('/proc/cpuinfo') as text:
        aes = 'with' if ' aes ' in text.read() else 'without'
    print(f'kernel {os.uname().release}, {os.cpu_count()} CPUs {aes} AES instructions,',
          f'median of {options.rounds} rounds')
    for title, rounds in chosen.items():
        rate = {'IOPS': 'iops'} if '4k' in title else {'MiB/s': 'mib'}
        columns = {**rate, 'tool us': 'tool_us', 'server': 'server_us', 'all': 'all_us', 'p50 us': 'p50_us'}
        report(title, rounds, columns, [*rate.values(), 'all_us'])
    print('json:', json.dumps(chosen), flush=True)
    sys.exit(not well)


main()
