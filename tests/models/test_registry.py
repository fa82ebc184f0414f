import pytest

from restorekit.models import CARN, Restorer, create_model, list_models, list_tasks


def test_names_are_sorted_and_buildable():
    names = list_models()
    assert names == sorted(set(names))
    assert {"carn", "carn_m"} <= set(names)
    assert all(isinstance(create_model(name), Restorer) for name in names)


def test_options_reach_the_factory():
    model = create_model("carn_m", scale=(2, 3), channels=8)
    assert isinstance(model, CARN)
    assert model.scales == (2, 3)
    assert model.config["recursive"]
    assert model.config["channels"] == 8


def test_task_selects():
    assert {"carn", "carn_m"} <= set(list_models(task="super-resolution"))
    assert set(list_models(task="super-resolution")) <= set(list_models())


def test_tasks_are_those_of_the_networks():
    assert list_tasks("carn") == ["super-resolution"]
    assert list_tasks() == sorted({task for name in list_models() for task in list_tasks(name)})
    assert all(name in list_models(task) for name in list_models() for task in list_tasks(name))
    with pytest.raises(ValueError, match=r"name must be one of carn, carn_m.*, got 'crane'"):
        list_tasks("crane")


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match=r"name must be one of carn, carn_m.*, got 'crane'"):
        create_model("crane")
    with pytest.raises(ValueError, match=r"task must be one of .*super-resolution.*, got 'colouring'"):
        list_models(task="colouring")


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match=r"depth"):
        create_model("carn", depth=3)
