"""Writes the packets of one TCP port on the loopback interface to a pcap file, until its standard
input ends: packets.py PORT[,PORT...] FILE"""

import select
import socket
import struct
import sys
import time

ETH_P_ALL = 3
OUTGOING = 4
SO_RCVBUFFORCE = 33

ports = {int(port) for port in sys.argv[1].split(",")}
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
packets.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
packets.bind(("lo", 0))


def is_wanted(packet):
    # Ethernet, IPv4, TCP.
    if packet[12:14] != b"\x08\x00" or packet[23] != 6:
        return False
    start = 14 + (packet[14] & 15) * 4
    return bool(ports & set(struct.unpack(">HH", packet[start : start + 4])))


with open(sys.argv[2], "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1))
    print("listening", flush=True)
    ending = False
    while True:
        # What has come before the end is still written.
        ready, _, _ = select.select([packets] if ending else [packets, sys.stdin], [], [], 0 if ending else None)
        if packets in ready:
            packet, address = packets.recvfrom(1 << 18)
            # Each is seen when it leaves and when it comes.
            if address[2] != OUTGOING and is_wanted(packet):
                now = time.time()
                seconds = int(now)
                head = (seconds, int((now - seconds) * 1e6), len(packet), len(packet))
                file.write(struct.pack("<IIII", *head) + packet)
        elif ending:
            break
        else:
            ending = True
print("written", flush=True)
