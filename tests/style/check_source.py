#!/usr/bin/env python3
"""The rules of style that need no compiler; each breach is printed as FILE:LINE: what.

    python3 tests/style/check_source.py FILE...    paths relative to the root, the current directory

  - who may include whom (ARCHITECTURE.md): cli -> kernel, backends, client; kernel, backends -> client;
    inside client engine -> transport -> protocol -> runtime
  - each library has one user
  - a header begins with #pragma once and a comment that says what it is for
  - 100 columns (120 in scripts), 400 lines, 70 lines in a function
  - no `using namespace`, no notes to oneself
"""
import re
import sys

COLUMNS_MAX = 100
SCRIPT_COLUMNS_MAX = 120
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

MAY_INCLUDE = {
    'client/runtime': ['client/runtime'],
    'client/protocol': ['client/protocol', 'client/runtime'],
    'client/transport': ['client/transport', 'client/protocol', 'client/runtime'],
    'client/engine': ['client/'],
    'backends': ['backends/', 'client/'],
    'kernel': ['kernel/', 'client/'],
    'cli': ['cli/', 'kernel/', 'backends/', 'client/'],
    'packaging': ['packaging/', 'cli/help', 'client/runtime'],
    'bench': ['bench/', 'tests/support/', 'kernel/', 'backends/', 'client/'],
    'tests': ['tests/', 'packaging/', 'cli/', 'kernel/', 'backends/', 'client/'],
}
# What an #include of the library begins with, and the only files that may have it. Tests may use
# what they test.
ONE_USER = {
    'liburing': 'client/runtime/',
    'netlink/': 'kernel/netlink',
    'gnutls/': 'client/transport/tls',
    'CLI/': 'cli/options',
    'toml++/': 'cli/config',
    'xxhash': 'cli/bench/verify',
}
NOTE = re.compile(r'\b(' + '|'.join(['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK']) + r')\b')
INCLUDE = re.compile(r'^#include ([<"])([^>"]+)[>"]')
IS_CPP = re.compile(r'\.[ch]pp$')

breaches = 0


def report(path, number, what):
    global breaches
    breaches += 1
    print(f'{path}:{number}: {what}')


def check_text(path, lines):
    columns_max = COLUMNS_MAX if IS_CPP.search(path) else SCRIPT_COLUMNS_MAX
    if len(lines) > FILE_LINES_MAX:
        report(path, len(lines), f'{len(lines)} lines, more than {FILE_LINES_MAX}')
    for number, line in enumerate(lines, 1):
        if len(line) > columns_max:
            report(path, number, f'{len(line)} columns, more than {columns_max}')
        if note := NOTE.search(line):
            report(path, number, f'{note[0]}: do it, or write an issue')


def folder_of(path):
    return next((folder for folder in MAY_INCLUDE if path.startswith(folder + '/')), None)


def check_include(path, number, bracket, target):
    folder = folder_of(path)
    if bracket == '"':
        if folder and not any(target.startswith(allowed) for allowed in MAY_INCLUDE[folder]):
            report(path, number, f'{folder} may not include "{target}"')
        return
    if path.startswith(('tests/', 'bench/')):
        return
    for library, user in ONE_USER.items():
        if target.startswith(library) and not path.startswith(user):
            report(path, number, f'<{target}> belongs to {user}*')


def check_cpp(path, lines):
    for number, line in enumerate(lines, 1):
        if include := INCLUDE.match(line):
            check_include(path, number, include[1], include[2])
        if re.match(r'\s*using namespace\b', line):
            report(path, number, 'no using namespace: name what is used')
    if path.endswith('.hpp'):
        if lines[:1] != ['#pragma once']:
            report(path, 1, 'a header begins with #pragma once')
        elif not lines[1:2] or not lines[1].startswith('//'):
            report(path, 2, 'a header says what it is for, right behind #pragma once')


NO_FUNCTION = re.compile(
    r'\s*(#|//|\}|$|namespace|class|struct|enum|union|extern|public:|protected:|private:)')


def check_functions(path, lines, indent):
    """Relies on clang-format: a function begins and ends at the indentation of its scope."""
    begin = None
    for number, line in enumerate(lines, 1):
        depth = len(line) - len(line.lstrip(' '))
        if line.strip() and depth == indent and not NO_FUNCTION.match(line):
            begin = number
        if line == ' ' * indent + '}' and begin is not None:
            length = number - begin + 1
            if length > FUNCTION_LINES_MAX:
                report(path, begin, f'a function of {length} lines, more than {FUNCTION_LINES_MAX}')
            begin = None


def main():
    for path in sys.argv[1:]:
        with open(path, encoding='utf-8') as file:
            lines = file.read().split('\n')
        if lines[-1] == '':
            lines.pop()
        check_text(path, lines)
        if IS_CPP.search(path):
            check_cpp(path, lines)
            check_functions(path, lines, 0)
            check_functions(path, lines, 2)
    sys.exit(breaches > 0)


if __name__ == '__main__':
    main()
