"""Plays a virtual machine on a tap: answers IPv4 pings. Usage: pretend-vm.py TAP MAC ADDRESS"""

import fcntl
import os
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) & ~1]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main(tap, mac, address):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI))
    mac = bytes.fromhex(mac.replace(":", ""))
    address = socket.inet_aton(address)
    while True:
        frame = os.read(device, 65536)
        to, sender, kind, packet = frame[:6], frame[6:12], frame[12:14], frame[14:]
        if to != mac or kind != b"\x08\x00" or len(packet) < 28:
            continue
        header = (packet[0] & 15) * 4
        ours = packet[9] == 1 and packet[16:20] == address and packet[header] == 8
        if not ours:
            continue
        length = struct.unpack("!H", packet[2:4])[0]
        echo = b"\0\0\0\0" + packet[header + 4 : length]
        echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
        os.write(device, sender + mac + kind + packet[:12] + address + packet[12:16] + packet[20:header] + echo)


main(*sys.argv[1:])
