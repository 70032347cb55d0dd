"""Three tasks that leave notes; the second goes on until the test opens a gate."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from airflow.sdk import DAG, BaseOperator, task


def note(conf, text):
    with Path(conf["scratch"], "notes").open("a") as notes:
        notes.write(text + "\n")


def wait_for(conf, name):
    while not Path(conf["scratch"], name).exists():
        time.sleep(0.05)


class Held(BaseOperator):
    def execute(self, context):
        self.conf = context["dag_run"].conf
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print("held at the gate", flush=True)
        note(self.conf, f"held {os.getpid()} {child.pid}")
        wait_for(self.conf, "gate")
        child.kill()
        print("let through the gate", flush=True)
        note(self.conf, "held ended")

    def on_kill(self):
        note(self.conf, "held on_kill")
        if self.conf.get("stubborn"):
            wait_for(self.conf, "gate")


with DAG("steps"):

    @task
    def first(dag_run=None):
        note(dag_run.conf, "first")

    @task
    def last(dag_run=None):
        note(dag_run.conf, "last")

    first() >> Held(task_id="held") >> last()
