"""A DAG file that is missing, broken, or doesn't hold the DAG asked for."""

from __future__ import annotations

from refused_commands import Refusals


def test_a_missing_file(refused_at_once: Refusals) -> None:
    assert "nowhere.py doesn't exist" in refused_at_once.run("nowhere.py")


def test_a_folder(refused_at_once: Refusals) -> None:
    assert "is a folder; name the DAG file in it" in refused_at_once.run("")


def test_a_file_that_is_not_python_by_its_name(refused_at_once: Refusals) -> None:
    assert "notes.txt is not a Python file: its name must end in .py" in refused_at_once.run("notes.txt")


def test_a_file_that_is_not_python_by_its_content(refused: Refusals) -> None:
    assert "binary.py can't be imported:\nSyntaxError: source code string" in refused.run("binary.py")


def test_a_syntax_error(refused: Refusals) -> None:
    said = refused.run("syntax_error.py")
    assert 'syntax_error.py", line 3\n    with DAG("broken":\n' in said
    assert "SyntaxError: invalid syntax" in said


def test_an_import_error(refused: Refusals) -> None:
    said = refused.run("import_error.py")
    assert 'import_error.py", line 2, in <module>\n    import no_such_module_of_mine' in said
    assert "No module named 'no_such_module_of_mine'" in said


def test_an_error_while_the_file_is_imported(refused: Refusals) -> None:
    said = refused.run("key_error.py")
    assert "line 4, in <module>" in said
    assert "line 2, in settings" in said
    assert "KeyError: 'missing key'" in said


def test_a_file_that_exits(refused: Refusals) -> None:
    assert "SystemExit: no licence for this" in refused.run("exits.py")


def test_a_file_that_ends_its_process(refused: Refusals) -> None:
    assert "dies.py ended the process that loaded it" in refused.run("dies.py")


def test_a_file_without_a_dag(refused: Refusals) -> None:
    assert "No DAG found in" in refused.run("no_dag.py")


def test_several_dags_and_no_dag_id(refused: Refusals) -> None:
    assert "several.py holds several DAGs: customers, orders. Choose one with --dag-id" in refused.run("several.py")


def test_an_unknown_dag_id(refused: Refusals) -> None:
    said = refused.run("several.py", "--dag-id", "order")
    assert "No DAG 'order' in" in said
    assert "(did you mean 'orders'?); there are: customers, orders." in said


def test_a_dag_with_a_cycle(refused: Refusals) -> None:
    assert "Cycle detected in Dag: cycle. Faulty task: b" in refused.run("cycle.py")


def test_a_dag_that_airflow_can_not_serialize(refused: Refusals) -> None:
    said = refused.run("unserializable.py")
    assert "unserializable.py can't be prepared for a run: SerializationError: " in said
    assert "is not registered" in said


def test_a_dag_too_large_for_a_payload(refused: Refusals) -> None:
    said = refused.run("too_large.py")
    assert "DAG 'too_large' is too large" in said
    assert "the limit is 100. Split the DAG" in said
