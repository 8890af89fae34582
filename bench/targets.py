"""What the speed was to be, for bench/verdict.py: {what, bench, title, row, figure, of, bound}, and where it is not the
best peer that is compared with, `other`, a row of the same title, or `other_title`, the same row (or `other`) of
another."""

BEST = 'the best peer'


def target(what, bench, title, figure, bound, row='nbdring', of=BEST, **other):
    return {'what': what, 'bench': bench, 'title': title, 'row': row, 'figure': figure, 'bound': bound, 'of': of,
            **other}


def to_null(what, bench, title):
    return target(what, bench, title, 'cpu_us', 1.15, of='the null backend', other='nbdring null')


def kernel_path(server, scenario):
    return target(f'device, `--path=kernel` to {server}, {scenario}', 'device', f'{server}: {scenario}',
                  'iops' if '4k' in scenario else 'mib', 0.95, 'nbdring -c 4, kernel path', 'nbd-client direct',
                  other='nbd-client -C 4, direct')


FILE = [
    target('file, 4 KiB reads, depth 32', 'native', '4k read depth 32', 'cpu_us', 0.45),
    to_null('file, 4 KiB reads, depth 32', 'native', '4k read depth 32'),
    target('file, 4 KiB writes, depth 32, ext4', 'native', '4k write depth 32', 'cpu_us', 0.45),
    to_null('file, 4 KiB writes, depth 32, ext4', 'native', '4k write depth 32'),
    target('file, 4 KiB writes, depth 32, tmpfs', 'tmpfs', '4k write depth 32', 'cpu_us', 0.45),
    to_null('file, 4 KiB writes, depth 32, tmpfs', 'tmpfs', '4k write depth 32'),
    target('file, 256 KiB reads from cache', 'native', '256k read depth 8', 'cpu_us', 0.35),
    target('file, 256 KiB reads from cache', 'native', '256k read depth 8', 'mib', 1.3),
    target('file, 4 KiB reads, depth 1', 'native', '4k read depth 1', 'p50_us', 0.9),
    target('file, 4 KiB writes, depth 1, ext4', 'native', '4k write depth 1', 'p50_us', 0.9),
    target('file, 4 KiB writes, depth 1, tmpfs', 'tmpfs', '4k write depth 1', 'p50_us', 0.9),
]
FORWARD = [
    *(target(f'TLS-PSK forwarding, 256 KiB {way}s', 'forward', f'TLS-PSK: 256k {way} depth 8', figure, bound)
      for way in ('read', 'write') for figure, bound in (('mib', 3.0), ('cpu_us', 0.3))),
    *(target(f'plain forwarding, {case}', 'forward', f'plain: {case}', 'cpu_us', 0.6)
      for case in ('4k read depth 32', '4k write depth 32', '4k read depth 1', '256k read depth 8',
                   '256k write depth 8', '4k read depth 32 x4')),
]
DEVICE = [
    *(target(f'device, {case}', 'device', f'local: {case}', 'iops' if '4k' in case else 'mib', 1.3, 'nbdring -c 4',
             'the best userspace peer')
      for case in ('4k random read, depth 32, 4 jobs', '4k random write, depth 32, 4 jobs',
                   '256k read, depth 8, 2 jobs', '256k write, depth 8, 2 jobs')),
    *(kernel_path(server, case) for server in ('nbdkit', 'nbd-server', 'qemu-nbd')
      for case in ('4k random read, depth 32, 4 jobs', '4k random read, depth 1', '256k read, depth 8, 2 jobs')),
]
WEBSOCKET = [
    target(f'websocket, {case}', 'websocket', f'a fast peer: {case}', 'mib', 3, 'nbdring gateway', 'websocketd')
    for case in (*(f'{size} KiB reads, depth {depth}' for size in (64, 128, 1024) for depth in (1, 16)),
                 '128 KiB writes, depth 16')
]
LOADS = '4k reads over all devices'
GROWTH = [
    *(target(f'16 connections, {series}', 'growth', f'4k read, {series}, 16 connections', 'cpu_us', 1.15,
             of='one connection', other_title=f'4k read, {series}, 1 connection')
      for series in ('8 on each', '32 in flight')),
    target('64 devices, 1 read in flight on each', 'growth-devices', LOADS, 'cpu_us', 1.15,
           'nbdring, 64 devices, 64 reads in flight', 'one device with 1 in flight',
           other='nbdring, 1 device, 1 read in flight'),
]
TARGETS = [*FILE, *FORWARD, *DEVICE, *WEBSOCKET, *GROWTH]
