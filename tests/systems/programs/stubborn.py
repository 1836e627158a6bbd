"""Ignores every signal that can be ignored, and says how many children and threads it has before it sleeps."""

import os
import signal
import threading
import time

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
if os.fork() == 0:
    time.sleep(1000)
print("I stay", flush=True)
time.sleep(1000)
