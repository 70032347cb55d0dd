# mypy: ignore-errors
"""Params of each kind, and what an author can set of the template engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jinja2
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseOperator, Param, ParamsDict, dag, literal, task
from leave_notes import a_dag
from parity_plugin import DATE_OF_EVERYTHING

TEMPLATES = Path(__file__).parent / "templates"


def kinds(*values):
    return [f"{type(value).__name__} {value}" for value in values]


class Holder:
    template_fields = ("text",)

    def __init__(self, text):
        self.text = text


@dataclass
class Opaque:
    text: str


class Renders(BaseOperator):
    """Returns its own fields as they were rendered."""

    template_fields = ("value", "other")
    template_ext = (".sql", ".tpl")
    template_fields_renderers: ClassVar = {"value": "sql"}

    def __init__(self, value, other="{{ ds }}", **arguments):
        super().__init__(**arguments)
        self.value = value
        self.other = other

    def prepare_template(self):
        if self.value == "prepared":
            self.value = "{{ ds }} prepared"

    def execute(self, context):
        return [_shown(self.value), self.other]


def _shown(value):
    match value:
        case Holder() | Opaque():
            return f"{type(value).__name__} {value.text}"
        case dict():
            return {str(key): _shown(each) for key, each in value.items()}
        case list() | tuple() | set():
            return [type(value).__name__, *(_shown(each) for each in value)]
    return value


@a_dag(template_searchpath=[str(TEMPLATES)], params={"who": "world"})
def renders_each_kind_of_field():
    Renders(
        task_id="nested",
        value={
            "list": ["{{ ds }}", ["{{ run_id }}"], 1],
            "tuple": ("{{ ds }}", 2),
            "set": {"{{ ds }}"},
            "dict": {"{{ ds }}": "{{ ds }}", 1: None},
            "holder": Holder("{{ ds }}"),
            "opaque": Opaque("{{ ds }}"),
            "literal": [literal("{{ ds }}"), "{{ ds }}"],
            "raw": "{% raw %}{{ ds }}{% endraw %}",
            "loop": "{% for n in range(3) %}{{ n }}{{ ',' if not loop.last }}{% endfor %}",
            "set_in_template": "{% set x = params.who %}{{ x | upper | length }}",
            "filters": "{{ logical_date | ds }} {{ logical_date | ts_nodash }} {{ logical_date | ds_nodash }}",
            "plugin_macro": "{{ macros.parity_plugin.shout(params.who) }}",
            "macros": "{{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%y') }} {{ macros.timedelta(days=1) }}"
            " {{ macros.dateutil.parser.parse('2024-01-01').year }} {{ macros.json.dumps([1]) }}",
            "arithmetic": "{{ (data_interval_end - data_interval_start).total_seconds() }}",
            "unicode": "ä😀 {{ 'ß' | upper }}",
            "ends_in_newline": "{{ ds }}\n",
        },
    )
    for name, value in {
        "literal": literal("{{ ds }}"),
        "file": "included.sql",
        "file_in_list": ["included.sql", "{{ ds }}.sql "],
        "prepared": "prepared",
        "undefined": "{{ not_there }}",
        "undefined_of_params": "{{ params.not_there }}",
    }.items():
        Renders(task_id=name, value=value)
    Renders(task_id="no_such_file", value="absent.sql")
    BashOperator(task_id="script_of_searchpath", bash_command="echo '{% include 'nested.txt' %}'")
    Renders.partial(task_id="mapped").expand(value=["{{ ds }}", ["{{ ti.map_index }}"], {"k": "{{ params.who }}"}])
    Renders.partial(task_id="mapped_by_xcom").expand_kwargs(
        [{"value": "{{ ds }}"}, {"value": "included.sql", "params": {"who": "mapped"}}]
    )
    PythonOperator(task_id="callable_argument", python_callable=kinds, op_args=[lambda context, jinja_env: "called"])
    Renders(task_id="called", value=lambda context, jinja_env: f"called in {context['ds']}")


@a_dag(
    template_searchpath=str(TEMPLATES),
    template_undefined=jinja2.StrictUndefined,
    jinja_environment_kwargs={
        "variable_start_string": "[[",
        "variable_end_string": "]]",
        "block_start_string": "[%",
        "block_end_string": "%]",
        "extensions": ["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        "trim_blocks": True,
    },
    params={"who": "world"},
    user_defined_filters={"twice": lambda text: text * 2},
    user_defined_macros={"ds": "shadowed", "nothing": None},
)
def renders_in_its_own_environment():
    Renders(task_id="delimiters", value="[[ params.who | twice ]] {{ ds }} [[ ds ]] [[ nothing ]]")
    Renders(task_id="file", value="delimited.tpl")
    Renders(task_id="undefined", value="[[ not_there ]]")
    Renders(task_id="extension", value="[% set l = [] %][% do l.append(1) %][[ l ]]")


@a_dag(render_template_as_native_obj=True, params={"list": [1, 2], "object": {"a": None}, "number": 1.5})
def renders_natively_and_not():
    arguments = [
        "{{ params.list }}",
        "{{ params.object }}",
        "{{ params.number + 1 }}",
        "{{ logical_date }}",
        "{{ '007' }}",
        "{{ params.list[0] }}{{ params.list[1] }}",
        "{'a': {{ params.number }}}",
        "{{ true }}",
        "{{ ds_nodash }}",
        "{{ run_id }}",
        "({{ 1 }}, 2)",
        "{{ ti.xcom_pull('pushes') }}",
        "{{ task.task_id }}",
    ]

    @task
    def pushes():
        return {"set": {1}, "text": "1"}

    pushed = pushes()
    for task_id, native in (("of_dag", None), ("not_native", False), ("native", True)):
        pushed >> PythonOperator(
            task_id=task_id,
            python_callable=kinds,
            op_args=arguments,
            **({} if native is None else {"render_template_as_native_obj": native}),
        )


@a_dag(
    params=ParamsDict(
        {
            "enum": Param("a", enum=["a", "b"]),
            "date": Param("2024-01-02", type="string", format="date"),
            "moment": Param("2024-01-02T03:04:05+00:00", type="string", format="date-time"),
            "time": Param("03:04:05", type=["null", "string"], format="time"),
            "pattern": Param("ab12", type="string", pattern="^[a-z]+[0-9]+$"),
            "maximum": Param(5, type="number", maximum=10, multipleOf=2.5),
            "boolean": Param(True, type="boolean"),
            "examples": Param(["x"], type="array", items={"type": "string"}, examples=["x", "y"]),
            "constant": Param("fixed", const="fixed"),
            "any": Param(None),
            "nested": Param(
                {"list": [{"n": 1}]},
                type="object",
                properties={"list": {"type": "array", "items": {"type": "object"}}},
                additionalProperties=False,
            ),
            "one_of": Param(1, anyOf=[{"type": "integer"}, {"type": "string"}]),
            "required": Param(type="string", minLength=3, title="Required", section="First"),
            "overridden": Param("default", type=["string", "integer"], description_md="*any*"),
            "plain": {"a": 1},
            "multiline": Param("a\nb", type="string", format="multiline"),
        }
    )
)
def takes_params():
    """What its run is given stands in ``environment.RUN_CONF``."""

    @task
    def of_context(params=None, dag_run=None):
        shown = {name: f"{type(value).__name__} {value}" for name, value in sorted(params.items())}
        conf = {name: value for name, value in dag_run.conf.items() if name != "scratch"}
        return {**shown, "conf": conf, "kind": type(params).__name__}

    @task(params={"plain": "of the task", "own": Param(3, type="integer"), "overridden": "by the task"})
    def of_task(params=None):
        return {name: params[name] for name in ("plain", "own", "overridden", "required", "enum")}

    @task(params={"own": Param("text", type="integer")})
    def wrong_of_task(params=None):
        return params["own"]

    @task
    def writes(params=None):
        params["enum"] = "written"
        return params["enum"]

    of_context()
    of_task()
    wrong_of_task()
    writes()
    BashOperator(
        task_id="bash", bash_command="echo '{{ params.required }} {{ params.nested.list[0].n }} {{ params | length }}'"
    )
    PythonOperator(
        task_id="conf", python_callable=kinds, op_args=["{{ dag_run.conf.extra }}", "{{ dag_run.conf['overridden'] }}"]
    )


@dag(schedule=None, start_date=DATE_OF_EVERYTHING, catchup=False, params={"from_params": 1, "scratch": "none"})
def takes_dag_arguments(number: int = 1, text: str = "default", nothing=None):
    """Arguments of the DAG's function become params, resolved when a task runs."""

    @task
    def echo(*values, deep):
        return [kinds(*values), kinds(*deep)]

    @task
    def one(value):
        return value

    echo(number, text, nothing, deep=[number])
    one.override(task_id="kwarg")(value={"text": text})
    BashOperator(
        task_id="bash", bash_command="echo {{ params.number }} {{ params.text }}", env={"N": "{{ params.number }}"}
    )


renders_each_kind_of_field()
renders_in_its_own_environment()
renders_natively_and_not()
takes_params()
takes_dag_arguments()
