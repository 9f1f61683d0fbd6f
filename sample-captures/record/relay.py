"""Passes frames between two TAP devices, each after a delay: relay.py FD-A FD-B MILLISECONDS (see chains.py)."""

import collections
import os
import select
import sys
import time

ends = [int(sys.argv[1]), int(sys.argv[2])]
delay = float(sys.argv[3]) / 1000
waiting = collections.deque()  # (due, to, frame), in order of due, since every delay is the same

while True:
    until = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    for end in select.select(ends, [], [], until)[0]:
        waiting.append((time.monotonic() + delay, ends[1] if end == ends[0] else ends[0], os.read(end, 65536)))
    while waiting and waiting[0][0] <= time.monotonic():
        _, to, frame = waiting.popleft()
        try:
            os.write(to, frame)
        except OSError:
            pass  # the device is not up yet, or no longer
