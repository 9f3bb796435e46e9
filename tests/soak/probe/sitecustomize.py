"""Every Python process of a product under soak loads this: at SIGUSR1 it tells its asyncio tasks.

One coroutine's name a line, in the file named by the process id in the folder $SOAK_TASKS. A relay has it by its fork.
"""

import os
import signal


def _tell(*_: object) -> None:
    import asyncio

    names = [getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks()]
    path = os.path.join(os.environ["SOAK_TASKS"], str(os.getpid()))
    with open(path + ".part", "w") as file:
        file.write("\n".join(sorted(names)))
    os.replace(path + ".part", path)


signal.signal(signal.SIGUSR1, _tell)
