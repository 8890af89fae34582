#!/usr/bin/env python3
# vm-timeout: 3600
# vm-memory: 4096
"""Runs inside the machine (bench/growth-devices): what the 1st and the 64th device cost.

Every device has an image of its own, in the page cache of the machine's ext4. Measured: the time of `nbdring attach`;
the memory of an idle device's engine and keeper (Pss: shared pages count for their share); what an engine keeps after
1 GiB of traffic; and CPU per 4 KiB read of all engines together, where 64 reads in flight meet one device and all
devices, and one read in flight meets one. nbd-client over nbdkit beside it, for as few devices as are cheap.
"""
import json, os, subprocess, time

from device_tools import processes_named, run, wait_until
from figures import PROGRAM, cpu_seconds, fio, memory_kib, parser, rates_of, report

FOLDER = os.path.join(os.environ.get('SCRATCH', '/var/tmp'), 'growth')
SIZE = 8 << 20
PEERS = 8  # devices of nbd-client over nbdkit


def image_of(number):
    return f'{FOLDER}/{number}.img'


def attach(number):
    """A device's name, and the seconds until it could be used."""
    began = time.monotonic()
    device = run(PROGRAM, 'attach', image_of(number), '-c', '2').strip()
    return device, time.monotonic() - began


def attached():
    """(engines, keepers)"""
    records = json.loads(run(PROGRAM, 'list', '--json'))
    return [one['pid'] for one in records], [one['keeper'] for one in records if one.get('keeper')]


def memory_of_each(pids):
    return sum(map(memory_kib, pids)) / max(1, len(pids))


def title_of(count, depth):
    return f'{count} device{"s" if count > 1 else ""}, {depth} read{"s" if depth > 1 else ""} in flight'


def peers(marks, loads, seconds):
    """nbd-client over nbdkit, each device with a server of its own: rows for the tables of attaching and memory; and
    into `loads` what one request on each device costs nbdkit."""
    servers, rows = [], {}
    for number in range(PEERS):
        began = time.monotonic()
        sock, device = f'{FOLDER}/{number}.sock', f'/dev/nbd{number}'
        servers.append(subprocess.Popen(['nbdkit', '-f', '-U', sock, 'file', image_of(number)]))
        wait_until(lambda: os.path.exists(sock), 'nbdkit did not start')
        run('nbd-client', '-u', sock, device, '-C', '2', '-b', '4096')
        wait_until(lambda: int(run('blockdev', '--getsize64', device)) == SIZE, 'nbd-client: no size')
        run('udevadm', 'settle')  # so far `nbdring attach` goes as well
        took = time.monotonic() - began
        if number + 1 in marks:
            rows[f'nbd-client over nbdkit, device {number + 1}'] = {
                'attach_s': took, 'engine_kib': memory_of_each([one.pid for one in servers])}
        if number + 1 in (1, PEERS):
            loads[f'nbd-client over nbdkit, {title_of(number + 1, number + 1)}'] = read_all(
                [f'/dev/nbd{each}' for each in range(number + 1)], number + 1, seconds, [one.pid for one in servers])
    for number, server in enumerate(servers):
        run('nbd-client', '-d', f'/dev/nbd{number}')
        server.terminate()
        server.wait()
    return rows


def read_all(devices, depth, seconds, pids=None):
    """Spread evenly over the devices; CPU of all engines and keepers, or of `pids`, for each request."""
    pids = pids or [pid for pids in attached() for pid in pids]
    before = cpu_seconds(*pids)
    side = fio(['--ioengine=libaio', '--direct=1', f'--filename={":".join(devices)}'],
               ['--rw=randread', '--bs=4k', f'--iodepth={depth}', f'--filesize={SIZE}'], seconds, 120)
    return {**rates_of(side), 'cpu_us': (cpu_seconds(*pids) - before) / side['total_ios'] * 1e6}


def move(device, gibibytes):
    run('fio', '--name=traffic', '--ioengine=libaio', '--direct=1', f'--filename={device}', '--rw=randrw', '--bs=256k',
        '--iodepth=8', f'--io_size={int(gibibytes * 1024)}m', f'--filesize={SIZE}', '--norandommap')


def traffic(device):
    engine = attached()[0]
    idle = memory_of_each(engine)
    move(device, 0.25)
    first = memory_of_each(engine)
    move(device, 1)
    last = memory_of_each(engine)
    return {'nbdring, one engine': {'idle_kib': idle, 'first_kib': first, 'last_kib': last,
                                    'kib_per_gib': last - first}}


def grow(options, results):
    marks = sorted({mark for mark in (1, 2, 8, 32, 64, options.devices) if mark <= options.devices})
    devices, costs, loads = [], {}, {}
    for number in range(options.devices):
        device, took = attach(number)
        devices.append(device)
        if number + 1 not in marks:
            continue
        engines, keepers = attached()
        costs[f'nbdring, device {number + 1}'] = {'attach_s': took, 'engine_kib': memory_of_each(engines),
                                                  'keeper_kib': memory_of_each(keepers)}
        # One on each, and always as many.
        for depth in sorted({number + 1, 64}) if number + 1 in (1, PEERS, options.devices) else ():
            loads[f'nbdring, {title_of(number + 1, depth)}'] = read_all(devices, depth, options.seconds)
        if number == 0:
            results['an engine before and after 1 GiB of traffic'] = [traffic(device)]
        print(f'{number + 1} attached', flush=True)
    results['attaching, and an idle device'] = [costs]
    results['4k reads over all devices'] = [loads]
    return marks


def main():
    asked = parser(__doc__, seconds=4)
    asked.add_argument('--devices', type=int, default=64)
    options = asked.parse_args()
    os.makedirs(FOLDER)
    for number in range(options.devices):
        with open(image_of(number), 'wb') as out:
            out.write(os.urandom(SIZE))
    run('modprobe', 'nbd', f'nbds_max={PEERS}')  # our attach makes more where none is free
    results = {}
    marks = grow(options, results)
    began = time.monotonic()
    run(PROGRAM, 'detach', '--all')
    print(f'all {options.devices} detached in {time.monotonic() - began:.1f} s', flush=True)
    wait_until(lambda: not processes_named('nbdring'), 'engines stay')
    loads = {}
    results['attaching, and an idle device'][0].update(peers(marks, loads, options.seconds))
    results['4k reads over all devices of nbd-client'] = [loads]
    columns = {'attach s': 'attach_s', 'engine KiB': 'engine_kib', 'keeper KiB': 'keeper_kib', 'IOPS': 'iops',
               'CPU us': 'cpu_us', 'p50 us': 'p50_us', 'idle KiB': 'idle_kib', 'after 0.25 GiB': 'first_kib',
               'after 1 GiB more': 'last_kib', 'growth KiB': 'kib_per_gib'}
    for title, rounds in results.items():
        there = set().union(*rounds[0].values())
        report(title, rounds, {heading: figure for heading, figure in columns.items() if figure in there}, [])
    print('json:', json.dumps(results), flush=True)


main()
