"""AIS-140 packets as makers send them (samples/ais140_packets.txt): each is parsed, or refused with a reason."""

from pathlib import Path

import pytest

from vehicles.ais140.framing import Framer
from vehicles.ais140.packets import MAX_CHARACTERS, Packet, decode
from vehicles.decoders.instants import microseconds
from vehicles.fixes import IGNITION_OFF, IGNITION_ON, Fix, Problem

PACKETS = (Path(__file__).parent / "samples" / "ais140_packets.txt").read_text().splitlines()
ON, OFF = IGNITION_ON, IGNITION_OFF

# kind, alarm, plate, then the fix (UTC, latitude, longitude, km/h, ignition), or why there is none
EXPECTED = [
    ("login", "", ""),
    ("login", "", ""),
    ("position", "", "", "2021-03-10T07:32:39", 25.932051, 71.509872, 0.6, OFF),
    ("position", "", "", "2020-03-12T14:44:53", 30.452524, 77.610351, 1.4, ON),
    ("emergency", "emergency_over", "", "2020-07-14T11:20:20", 28.359959, 76.927566, 0.1, 0),
    ("emergency", "emergency", "", "2020-07-14T11:15:20", 28.359959, 76.927553, 0.1, 0),
    ("position", "", "", "2020-07-14T18:01:50", 29.949376, 78.06098, 0, OFF),
    ("position", "", "", "2020-07-14T18:02:12", 29.949271, 78.061241, 15, OFF),
    ("position", "", "", "2020-04-14T20:48:26", 28.593055, 76.970035, 0.6, OFF),
    ("position", "", "", "2020-01-04T09:49:01", 23.18731933, 77.45079633, 0, OFF),
    ("position", "", "", "no_fix"),
    ("position", "", "", "2019-12-02T07:48:01", 9.99553167, 76.35911, 0, OFF),
    ("position", "", "DL01AB0001", "2019-05-27T04:02:34", 28.359895, 76.927879, 0, ON),
    ("position", "", "", "2019-05-22T03:54:19", 28.6291409, 77.3928299, 15.2, ON),
    ("position", "", "", "2019-02-28T18:01:55", 28.688226, 76.99357, 0, OFF),
    ("position", "", "KA01AB0002", "2018-12-24T05:57:49", 12.303873, 76.690697, 0, OFF),
    ("position", "emergency", "KA01I2000", "2017-11-09T16:07:02", 12.976593, 77.549782, 25.1, ON),
    ("emergency", "emergency", "", "no_fix"),
    ("position", "emergency", "", "2019-03-31T14:00:54", 28.533699, 77.26902, 0, OFF),
    ("position", "emergency", "", "2019-03-11T23:10:48", 19.25166667, 73.04615167, 0, OFF),
    ("position", "", "", "2019-02-25T05:17:16", 25.12891, 75.85587833, 7.6, ON),
    ("position", "emergency", "MH12AB1234", "2019-02-20T10:59:13", 23.48263, 86.399673, 0.1, OFF),
    ("position", "wire_cut", "", "2019-02-05T07:12:25", 19.965062, 73.736088, 0, ON),
    ("position", "emergency", "MH12AB1234", "2018-11-12T08:53:08", 18.489645, 73.855972, 0, ON),
    ("position", "", "PJ00AB1234", "2018-11-12T12:19:53", 12.756974, 77.800025, 0, OFF),
    ("position", "emergency", "MH12AB1234", "2018-10-14T04:50:52", 18.489624, 73.85598, 0, ON),
    ("login", "", "MH12AB1234"),
    ("health", "", ""),
    ("emergency", "emergency", "MH12AB1234", "no_fix"),
    ("position", "emergency", "MH12AB1234", "no_fix"),
    ("position", "emergency", "MH12AB1234", "no_fix"),
    ("emergency", "emergency", "KA01I2000", "2017-11-09T15:51:33", 12.976495, 77.549713, 0, 0),
    ("emergency", "emergency", "KA01G1234", "2018-08-03T11:07:30", 22.829292, 75.935806, 0, 0),
    ("position", "emergency", "KA01I2000", "2018-04-19T10:29:26", 22.846401, 75.948952, 0, OFF),
    ("position", "emergency", "KA01I2000", "2017-11-09T16:07:02", 12.976593, 77.549782, 25.1, ON),
    ("position", "", "KA01I2000", "2018-03-31T12:22:47", 22.845999, 75.949005, 0, ON),
    ("login", "", "KA01I2000"),
]


@pytest.mark.parametrize(("line", "expected"), list(zip(PACKETS, EXPECTED, strict=True)))
def test_a_kept_packet(line: str, expected: tuple) -> None:
    packet = decode(line)
    assert isinstance(packet, Packet)
    assert len(packet.imei) == 15
    assert (packet.kind, packet.alarm, packet.registration) == expected[:3]
    fix = packet.fix
    if isinstance(fix, Fix):
        at = microseconds(expected[3] + "+00:00")
        assert (fix.device, fix.at_us, fix.latitude, fix.longitude, fix.speed_kmh, fix.flags, fix.soc_percent) == (
            packet.imei, at, *expected[4:], None
        )  # fmt: skip
    else:
        assert (fix.code if fix else None) == (expected[3] if len(expected) > 3 else None)


def test_history_is_known_from_live() -> None:
    assert [n for n, line in enumerate(PACKETS) if decode(line).is_history] == [13, 18, 28, 32]


def test_a_heartbeat_has_no_imei() -> None:
    assert decode("$,HBT,*").kind == decode("$HBT").kind == "heartbeat"


@pytest.mark.parametrize(
    ("line", "code"),
    [("GET / HTTP/1.1", "not_ais140"), ("$" + "x" * MAX_CHARACTERS, "not_ais140"), ("$,1,\x07", "not_ais140"),
     ("$,NRM,MARK,NR,01,L,1234,1,10032021,073239,25.9,N,71.5,E", "no_imei"), ("$", "no_imei"), ("$,*", "no_imei")],
)  # fmt: skip
def test_what_is_no_packet_is_refused_with_a_reason(line: str, code: str) -> None:
    problem = decode(line)
    assert isinstance(problem, Problem)
    assert problem.code == code
    assert problem.detail


def test_no_cut_and_no_garbled_packet_breaks_the_reader() -> None:
    for line in PACKETS:
        for end in range(len(line)):
            decode(line[:end])
        for index in range(len(line.split(","))):
            fields = line.split(",")
            fields[index] = "²"
            decode(",".join(fields))
            for text in ("x", "1-1", "99999999", "-", "1e9", "٣"):
                fields[index] = text
                decode(",".join(fields))
            decode(",".join(fields[:index] + fields[index + 1 :]))


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
@pytest.mark.parametrize("separator", ["\r\n", "\n", ""])
def test_a_stream_is_cut_into_the_same_packets_however_it_arrives(size: int, separator: str) -> None:
    stream, framer, lines = separator.join(PACKETS).encode(), Framer(), []
    for start in range(0, len(stream), size):
        lines += framer.feed(stream[start : start + size])
    assert lines + framer.flush() == PACKETS


def test_a_stream_without_an_end_is_thrown_away() -> None:
    framer = Framer()
    for _ in range(1_000):
        assert framer.feed(b"x" * 500) == []
    assert framer.overlong == 333
    assert len(framer.flush()[0]) <= MAX_CHARACTERS
