"""Runs the server of Moto, which is installed next to this file."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# Moto has no locks, so the steps of concurrent requests must not interleave.
sys.setswitchinterval(60)

from moto.core import utils  # noqa: E402

# Moto computes the current time for each message of a queue in each call, by a slow detour over the calendar.
by_calendar = utils.unix_time
utils.unix_time = lambda moment=None: by_calendar(moment) if moment else time.time()

from moto.server import main  # noqa: E402

main(sys.argv[1:])
