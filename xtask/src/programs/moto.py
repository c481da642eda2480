"""Runs the server of Moto, which lies beside this file."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# A step of one request must not come between two of another's: Moto locks nothing.
sys.setswitchinterval(60)

from moto.core import utils  # noqa: E402

# It asks for the time again and again for each message of a queue, in each call, by way of a calendar.
by_calendar = utils.unix_time
utils.unix_time = lambda moment=None: by_calendar(moment) if moment else time.time()

from moto.server import main  # noqa: E402

main(sys.argv[1:])
