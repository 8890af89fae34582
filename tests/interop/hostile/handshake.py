"""What breaks the handshake."""

import struct

from cases import case
from wire import (
    Client, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, ERR_UNSUP, OPT_ABORT, OPT_EXPORT_NAME, OPT_GO,
    OPT_INFO, OPT_LIST, OPT_LIST_META, OPT_SET_META, OPT_STRUCTURED_REPLY, REP_ACK, REP_INFO,
    REP_SERVER, info, meta, option,
)


@case(r"client flags 0xfffffff0")
def unknown_client_flags():
    client = Client()
    client.greet(struct.pack(">I", 0xFFFFFFF0))
    client.expect_dropped()


@case(r"0x4f50544941565148 ")
def bad_magic_in_an_option():
    client = Client()
    client.greet()
    client.send(option(OPT_LIST, magic=0x4F50544941565148))
    client.expect_dropped()


@case(r"0x1c0a4e0454c4d02")
def another_protocol_altogether():
    client = Client()
    client.greet(b"\0\0\0\3")
    client.send(bytes.fromhex("01c0a4e0454c4d02") + b"GET / HTTP/1.1\r\n\r\n")
    client.expect_dropped()


@case()
def unknown_options_are_answered():
    client = Client()
    client.greet()
    for number in (0, 4, 5, 11, 99, 0xFFFFFFFF):
        client.send(option(number, b"x" * 100))
        client.expect_option_reply(number, ERR_UNSUP)
    client.send(option(OPT_ABORT))
    client.expect_option_reply(OPT_ABORT, REP_ACK)
    client.expect_dropped()


@case(r"option 7 .*4294967295 bytes")
def an_option_of_4_gib():
    client = Client()
    client.greet()
    client.send(option(OPT_GO, b"x" * 100, length=0xFFFFFFFF))
    client.expect_dropped()


@case(r"option 99 .*1048576 bytes")
def an_unknown_option_of_1_mib():
    client = Client()
    client.greet()
    client.send(option(99, b"", length=1 << 20))
    client.expect_dropped()


@case()
def names_that_are_too_long():
    client = Client()
    client.greet()
    for number in (OPT_INFO, OPT_GO):
        client.send(option(number, info(b"n" * 4097)))
        client.expect_option_reply(number, ERR_TOO_BIG)
    client.send(option(OPT_STRUCTURED_REPLY))
    client.expect_option_reply(OPT_STRUCTURED_REPLY, REP_ACK)
    client.send(option(OPT_SET_META, meta(b"", [b"base:" + b"q" * 4097])))
    client.expect_option_reply(OPT_SET_META, ERR_TOO_BIG)
    client.send(option(OPT_ABORT))
    client.expect_dropped()


@case(r"too many options: \d+")
def an_option_flood():
    client = Client()
    client.greet()
    try:
        for _ in range(100_000):
            client.send(option(99))
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.expect_dropped()


@case(r"too many options: \d+ with \d+ bytes")
def large_options_one_after_another():
    client = Client()
    client.greet()
    try:
        for _ in range(1000):
            client.send(option(OPT_INFO, info(b"n" * 4000)))
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.expect_dropped()


@case()
def data_where_there_is_none():
    client = Client()
    client.greet()
    for number in (OPT_LIST, OPT_STRUCTURED_REPLY):
        client.send(option(number, b"payload"))
        client.expect_option_reply(number, ERR_INVALID)
    client.send(option(OPT_LIST))
    client.expect_option_reply(OPT_LIST, REP_SERVER)
    client.expect_option_reply(OPT_LIST, REP_ACK)
    client.send(option(OPT_ABORT, b"payload"))
    client.expect_dropped()


@case()
def broken_lengths_in_go():
    client = Client()
    client.greet()
    broken = [
        b"",
        b"\0\0",
        struct.pack(">I", 0),  # no count
        struct.pack(">I", 0xFFFFFFFF),  # a name longer than the option
        struct.pack(">I", 10) + b"short" + b"\0\0",
        struct.pack(">IH", 0, 3) + b"\0\1",  # one of three information types
        struct.pack(">IH", 0, 0xFFFF),
        struct.pack(">IH", 0, 0) + b"rest",
        struct.pack(">IH", 0, 1) + b"\0",
    ]
    for data in broken:
        for number in (OPT_INFO, OPT_GO):
            client.send(option(number, data))
            client.expect_option_reply(number, ERR_INVALID)
    client.send(option(OPT_GO, info(b"", [3, 3, 3, 0xFFFF])))
    client.expect_option_reply(OPT_GO, REP_INFO)
    client.expect_option_reply(OPT_GO, REP_INFO)
    client.expect_option_reply(OPT_GO, REP_ACK)
    client.expect_alive()
    client.leave()


@case()
def broken_metadata_queries():
    client = Client()
    client.greet()
    client.send(option(OPT_SET_META, meta(b"", [b"base:allocation"])))
    client.expect_option_reply(OPT_SET_META, ERR_INVALID)  # structured replies come first
    client.send(option(OPT_STRUCTURED_REPLY))
    client.expect_option_reply(OPT_STRUCTURED_REPLY, REP_ACK)
    broken = [
        b"",
        struct.pack(">I", 5),
        struct.pack(">II", 0, 1),
        struct.pack(">III", 0, 1, 0xFFFFFFFF),
        struct.pack(">II", 0, 0xFFFFFFFF),
        meta(b"", [b"base:allocation"]) + b"rest",
        meta(b"", [b"without-a-colon"]),
    ]
    for data in broken:
        for number in (OPT_LIST_META, OPT_SET_META):
            client.send(option(number, data))
            client.expect_option_reply(number, ERR_INVALID)
    client.send(option(OPT_SET_META, meta(b"another", [b"base:allocation"])))
    client.expect_option_reply(OPT_SET_META, ERR_UNKNOWN)
    client.send(option(OPT_ABORT))
    client.expect_dropped()


@case(r"no export named 'secret'")
def export_name_of_nothing():
    client = Client()
    client.greet()
    client.send(option(OPT_EXPORT_NAME, b"secret"))
    client.expect_dropped()


@case(r"no export named '.*u001b.*u000a.*error: forged")
def a_name_that_forges_a_log_line():
    client = Client()
    client.greet()
    client.send(option(OPT_EXPORT_NAME, b"\x1b[2J\r\nnbdring: error: forged \xff\xfe\0"))
    client.expect_dropped()


@case(r"no export named 'nnn.*shortened")
def an_export_name_of_4_kib():
    client = Client()
    client.greet()
    client.send(option(OPT_EXPORT_NAME, b"n" * 4096))
    client.expect_dropped()


@case(r"option 3 .*fixed newstyle")
def an_option_without_fixed_newstyle():
    client = Client()
    client.greet(struct.pack(">I", 0))
    client.send(option(OPT_LIST))
    client.expect_dropped()
