"""conference.py ADDRESS PORT SECONDS PACKETS_PER_SECOND LOW HIGH: talks with everybody who talks to it.

A peer of a mesh conference (or, with fewer and larger packets, a game's server): what it hears is played, not passed
on; what it says is its own, and the same to all.
"""
import os, random, select, socket, sys, time

address, port, seconds, pace, low, high = sys.argv[1], *map(int, sys.argv[2:])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((address, port))
s.setblocking(False)
heard = {}
begin = time.monotonic()
for n in range(seconds * pace):
    due = begin + n / pace
    while (left := due - time.monotonic()) > 0:
        if select.select([s], [], [], left)[0]:
            packet, peer = s.recvfrom(2048)
            heard[peer] = packet
    said = os.urandom(random.randint(low, high))
    for peer in list(heard):
        s.sendto(said, peer)
