"""`lms-pipeline doctor` with a token that Truto refuses."""


def test_a_refused_token_is_one_sentence_without_a_table(connected, monkeypatch):
    connected("accounts", "sync")
    monkeypatch.setenv("TRUTO_API_TOKEN", "secret-of-mine")
    done = connected("doctor", "--account", "north")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: Truto does not accept the token (")
    assert done.err.endswith("status 401): check TRUTO_API_TOKEN.\n")
    assert "secret-of-mine" not in done.err
