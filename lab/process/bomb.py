"""A worker for tests that dies of the first question it is asked.

    bomb.py PORT
"""

import os
import signal
import sys

import tool_server


class Answer(tool_server.Answer):
    """A POST is the end."""

    def do_POST(self):
        print("my last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)


tool_server.serve(sys.argv[1], Answer)
