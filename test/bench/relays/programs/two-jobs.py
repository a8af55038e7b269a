"""two-jobs.py FROM PORT TO PORT BYTES SECONDS: a download in one thread, an upload of other data in another."""
import json, os, socket, sys, threading, time

source, sink = (sys.argv[1], int(sys.argv[2])), (sys.argv[3], int(sys.argv[4]))
size, seconds = int(sys.argv[5]), float(sys.argv[6])


def plan(to, up, down):
    s = socket.create_connection(to)
    s.sendall(json.dumps({"up": up, "down": down, "seconds": seconds}).encode() + b"\n")
    return s


def download():
    s, left = plan(source, 0, size), size + 1
    while left > 0 and (data := s.recv(65536)):
        left -= len(data)


def upload():
    s, sent, begin = plan(sink, size, 0), 0, time.monotonic()
    while sent < size:
        piece = os.urandom(min(16384, size - sent))
        s.sendall(piece)
        sent += len(piece)
        time.sleep(max(0, begin + seconds * sent / size - time.monotonic()))
    s.recv(1)


jobs = [threading.Thread(target=job) for job in (download, upload)]
for job in jobs:
    job.start()
for job in jobs:
    job.join()
