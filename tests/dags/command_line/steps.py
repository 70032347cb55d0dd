"""Three tasks that leave notes; the second goes on until the test opens a gate."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from subprocess import DEVNULL

from airflow.sdk import DAG, BaseOperator, task


def note(conf, text):
    with Path(conf["scratch"], "notes").open("a") as notes:
        notes.write(text + "\n")


def is_open(conf):
    return Path(conf["scratch"], "gate").exists()


class Held(BaseOperator):
    killed = False

    def execute(self, context):
        self.conf = context["dag_run"].conf
        nowhere = {"stdin": DEVNULL, "stdout": DEVNULL, "stderr": DEVNULL}
        child = subprocess.Popen(["sleep", "600"], start_new_session=True, **nowhere)
        print("held at the gate", flush=True)
        note(self.conf, f"held {os.getpid()} {child.pid}")
        while not is_open(self.conf) and not self.killed:
            time.sleep(0.05)
        if self.killed:
            raise RuntimeError("killed while held")
        child.kill()
        print("let through the gate", flush=True)
        note(self.conf, "held ended")

    def on_kill(self):
        note(self.conf, "held on_kill")
        while self.conf["stubborn"]:
            time.sleep(0.05)
        self.killed = True


with DAG("steps"):

    @task
    def first(dag_run=None):
        note(dag_run.conf, "first")

    @task
    def last(dag_run=None):
        note(dag_run.conf, "last")

    first() >> Held(task_id="held") >> last()
