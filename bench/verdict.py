#!/usr/bin/env python3
"""What was asked for beside what was found, and where we lose, from the files that --json wrote: Markdown.

  bench/verdict.py FOLDER     with native.json, tmpfs.json, forward.json, … as bench/run leaves them

Every figure is a ratio of one round, so of one moment; what is shown is the median of the rounds, and the smallest and
the largest. A target counts by its median.
"""
import json, os, statistics, sys

from figures import HIGHER_IS_BETTER, is_limit, is_ours, peers_of, ratios, short, spread
from targets import TARGETS

NAMES = {'iops': 'requests per second', 'mib': 'throughput', 'cpu_us': 'CPU', 'p50_us': 'latency (p50)',
         'all_us': "the machine's CPU"}


def load(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith('.json') and os.path.getsize(os.path.join(folder, name)):
            with open(os.path.join(folder, name)) as text:
                found[name.removesuffix('.json')] = json.load(text)
    return found


def side_by_side(rounds, other_rounds, row, other):
    """Of two titles, round by round."""
    return [{row: one[row], 'other': two[other]} for one, two in zip(rounds, other_rounds)
            if row in one and other in two]


def values_of(target, rounds, results):
    """Round by round: the target's row, beside what it is to be compared with."""
    row, figure = target['row'], target['figure']
    if 'other_title' in target:
        pairs = side_by_side(rounds, results.get(target['other_title'], []), row, target.get('other', row))
        return ratios(pairs, row, figure, ['other'])
    there = [one for one in rounds if row in one]
    others = [target['other']] if 'other' in target else peers_of(there[0] if there else {})
    there = [one for one in there if all(other in one for other in others)]
    return ratios(there, row, figure, others) if others else []


def limits_of(target, rounds):
    """What the rows that compete with nobody reached, in the same ratio; of forwarding also how busy the origin was."""
    if 'other_title' in target:
        return ''
    others = [target['other']] if 'other' in target else peers_of(rounds[0])
    rows = [row for row in rounds[0] if is_limit(row) and row not in others]
    found = [f'{row.replace(" (the limit)", "").replace(" (limit)", "").replace("nbdring ", "")} '
             f'{short(statistics.median(values))}' for row in rows
             if (values := ratios(rounds, row, target['figure'], others))]
    cores = [one[target['row']]['origin_cores'] for one in rounds if 'origin_cores' in one.get(target['row'], {})]
    if cores and target['figure'] == 'mib':
        found.append(f'origin busy on {short(statistics.median(cores))} processors')
    return ', '.join(found)


def judge(target, results):
    """A row of the table."""
    bound, sign = target['bound'], '≥' if target['figure'] in HIGHER_IS_BETTER else '≤'
    asked = f'| {target["what"]} | {NAMES[target["figure"]]} {sign} {bound} of {target["of"]} '
    rounds = results.get(target['bench'], {}).get(target['title'], [])
    values = values_of(target, rounds, results.get(target['bench'], {})) if rounds else []
    if not values:
        return asked + '| not measured | | |'
    middle = statistics.median(values)
    kept = middle >= bound if sign == '≥' else middle <= bound
    far = 'kept' if kept else f'**missed**: {short(max(middle / bound, bound / middle))} times off'
    return asked + f'| {spread(values).strip()} | {far} | {limits_of(target, rounds)} |'


def targets(results):
    print('| what | asked for | found (smallest to largest round) | verdict | the limits in the same run |')
    print('|---|---|---|---|---|')
    for target in TARGETS:
        print(judge(target, results))


def losses_in(bench, title, rounds):
    rows = [row for row in rounds[0] if all(row in one for one in rounds)] if rounds else []
    figures = ('iops' if '4k' in title else 'mib', 'cpu_us', 'all_us', 'p50_us')
    for row in rows:
        lost = []
        for figure in figures if is_ours(row) and not is_limit(row) else ():
            values = ratios(rounds, row, figure, peers_of(rows))
            middle = statistics.median(values) if values else 1
            if middle != 1 and (middle < 1) == (figure in HIGHER_IS_BETTER):
                lost.append(f'{NAMES[figure]} {spread(values).strip()}')
        if lost:
            yield f'- {bench}, {title}: {row}: {", ".join(lost)}'


def losses(results):
    found = [line for bench, titles in results.items() for title, rounds in titles.items()
             for line in losses_in(bench, title, rounds)]
    print('\n'.join(found) or 'None: in no row is a ratio to the best peer on the wrong side of 1.')


def main():
    results = load(sys.argv[1])
    print('## What was asked for, and what was found\n')
    targets(results)
    print('\n## Where we lose\n\nEvery row whose ratio to the best peer is on the wrong side of 1.\n')
    losses(results)


main()
