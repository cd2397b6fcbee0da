from fastnn.callbacks import Progress


def test_progress_is_a_callback(run, capsys):
    run(Progress(), epochs=2)
    assert "accuracy" in capsys.readouterr().out
    Progress().on_train_end(None)  # without having begun
