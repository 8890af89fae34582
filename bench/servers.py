"""The commands of the servers that bench/native and bench/growth compare, each behind a Unix socket."""
import os, shutil, subprocess

from figures import MIB, PROGRAM, TOP, Server, free_port

MEMORY_MIB = 512
NBD_SERVER_EXPORT = 'image'  # it knows no export without a name


def pump():
    """Builds it: bench/pump.cpp, the limit."""
    for step in (['cmake', '--preset', 'release'], ['cmake', '--build', '--preset', 'release', '--target', 'pump']):
        subprocess.run(step, cwd=TOP, check=True, stdout=subprocess.DEVNULL)
    return os.path.join(TOP, 'build', 'tests', 'pump')


def nbd_server(image, sock):
    """Goes to the background, has a process for each connection, and listens on a port in any case."""
    config = sock + '.conf'
    with open(config, 'w') as out:
        out.write(f'[generic]\nunixsock = {sock}\nlistenaddr = 127.0.0.1\nport = {free_port()}\nallowlist = true\n'
                  f'[{NBD_SERVER_EXPORT}]\nexportname = {image}\nflush = true\nfua = true\n')
    return ['nbd-server', '-C', config, '-p', sock + '.pid']


FILE_SERVERS = {
    'nbdring': lambda image, sock: [PROGRAM, 'serve', image, '--unix', sock],
    'nbdkit': lambda image, sock: ['nbdkit', '-f', '--exit-with-parent', '-U', sock, 'file', image],
    'qemu-nbd': lambda image, sock: ['qemu-nbd', '-f', 'raw', '-k', sock, '-t', '-e', '16', '--cache=writeback', image],
    'nbd-server': nbd_server,
    'nbdring null': lambda image, sock: [PROGRAM, 'serve', f'null:{os.path.getsize(image)}', '--unix', sock],
    'pump (the limit)': lambda image, sock: [os.path.join(TOP, 'build', 'tests', 'pump'), sock,
                                             str(os.path.getsize(image))],
}
MEMORY_SERVERS = {
    'nbdring': lambda _, sock: [PROGRAM, 'serve', f'memory:{MEMORY_MIB}M', '--unix', sock],
    'nbdkit': lambda _, sock: ['nbdkit', '-f', '--exit-with-parent', '-U', sock, 'memory', f'{MEMORY_MIB}M'],
    'pump (the limit)': lambda _, sock: [os.path.join(TOP, 'build', 'tests', 'pump'), sock, str(MEMORY_MIB * MIB)],
}


def is_there(name):
    return name.startswith(('nbdring', 'pump')) or shutil.which(name) is not None


def server(name, command, sock):
    return Server(name, command, sock, NBD_SERVER_EXPORT if name == 'nbd-server' else '')
