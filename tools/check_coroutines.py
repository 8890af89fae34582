#!/usr/bin/env python3
"""Every co_await stands in one of four shapes; GCC 12.2 miscompiles others without a word.

    co_await f(a, b);                    a whole statement
    const auto r = co_await f(a, b);     the whole initialiser of one local
    r = co_await f(a, b);                the whole right side
    co_return co_await f(a, b);          the whole result

and no brace, lambda or ?: stands in the awaited expression.

    tools/check_coroutines.py FILE...    prints FILE:LINE: STATEMENT for each that is otherwise
"""
import re
import sys

LOCAL = r'(?:const\s+)?[\w:<>,&*\s]+?\s\w+\s*=\s*'
ASSIGNMENT = r'[\w.\[\]>-]+\s*\+?=\s*'
SHAPE = re.compile(rf'^\s*(?:{LOCAL}|{ASSIGNMENT}|co_return\s+|\(void\)\s*)?co_await\s[^{{?]*$')
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/', re.S)
BLOCK = re.compile(r'^.*\)\s*(?:const\s*|noexcept\s*|override\s*)*\{\s*(?=.*\bco_await\b)')
BEGINS_AFTER = re.compile(r'(^|[;{}:])\s*$')  # a line that ends so ends a statement, too


def statement_at(lines, index):
    """The statement around a line, in one line, up to its semicolon."""
    first = index
    while first > 0 and not BEGINS_AFTER.search(lines[first - 1]):
        first -= 1
    last = index
    while ';' not in lines[last] and last + 1 < len(lines):
        last += 1
    joined = ' '.join(line.strip() for line in lines[first:last + 1])
    return BLOCK.sub('', joined)  # of a function in one line


def check(path):
    with open(path, encoding='utf-8') as file:
        text = COMMENT.sub(lambda found: re.sub(r'[^\n]', ' ', found[0]), file.read())
    lines = text.split('\n')
    bad = 0
    for index, line in enumerate(lines):
        if 'co_await' not in line or 'operator co_await' in line:
            continue
        statement = statement_at(lines, index)
        if not SHAPE.match(statement.split(';')[0]) or statement.count('co_await') > 1:
            bad += 1
            print(f'{path}:{index + 1}: {line.strip()}')
    return bad


if __name__ == '__main__':
    sys.exit(sum(check(path) for path in sys.argv[1:]) > 0)
