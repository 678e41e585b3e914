"""The accounts file: which options it accepts, and how it refuses others."""

import pytest

from lms_pipeline.accounts.options import AccountOptions, load_options, resolve_excluded_roles, resolve_identity
from lms_pipeline.errors import LmsPipelineError, SettingsError, WrongUseError
from lms_pipeline.lake.paths import BadIdError
from lms_pipeline.settings import Settings


@pytest.fixture
def read(tmp_path):
    """Return the options of a file with this text."""

    def read(text):
        (tmp_path / "accounts.toml").write_text(text, "utf-8")
        return load_options(Settings(accounts_file=tmp_path / "accounts.toml"))

    return read


def test_without_a_file_there_are_no_options():
    assert load_options(Settings(accounts_file=None)) == {}


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[accounts]\n"])
def test_a_file_may_be_empty(read, text):
    assert read(text) == {}


def test_an_account_without_options_has_the_defaults(read):
    assert read("[accounts.acme]\n") == {"acme": AccountOptions()}


def test_every_option_is_read(read):
    options = read(
        """
        [accounts.acme]
        name = "Acme Ä.G."
        strategy = "sweep"
        identity = "pair"
        remote_data = "drop"
        page_size = 100
        [accounts.acme.remote_query]
        branch = "7"
        """
    )
    assert options == {
        "acme": AccountOptions(
            name="Acme Ä.G.",
            strategy="sweep",
            identity="pair",
            remote_data="drop",
            page_size=100,
            remote_query={"branch": "7"},
        )
    }


def test_a_relative_pairs_file_is_resolved_against_the_accounts_file(tmp_path):
    path = tmp_path / "accounts.toml"
    path.write_text('[accounts.one]\npairs_file = "pairs.csv"\n[accounts.two]\npairs_file = "/pairs.csv"\n')
    options = load_options(Settings(accounts_file=path))
    assert (options["one"].pairs_file, options["two"].pairs_file) == (str(tmp_path / "pairs.csv"), "/pairs.csv")


def test_each_account_has_its_own_options(read):
    options = read('[accounts.a]\nname = "A"\n[accounts."62f44730-dd91-461e-bd6a-aedd9e0ad79d"]\nname = "B"\n')
    assert {account_id: account.name for account_id, account in options.items()} == {
        "a": "A",
        "62f44730-dd91-461e-bd6a-aedd9e0ad79d": "B",
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[accounts.a]\nstrategi = "sweep"', r" for a: there is no option 'strategi': docs/settings\.md lists them\.$"),
        ('[accounts.a]\n"two\\nlines" = 1', r" for a: there is no option 'two\\nlines': "),
        ('[account.a]\nname = "A"', r": there is no 'account', only \[accounts\.<id>\]\.$"),
        ('[accounts.a]\nstrategy = "guess"', r" for a: strategy must be auto, sweep, roster, learner or pairs\.$"),
        ("[accounts.a]\nstrategy = 5", r" for a: strategy must be auto, sweep, roster, learner or pairs\.$"),
        ('[accounts.a]\nidentity = "email"', r" for a: identity must be pair or enrollment_id\.$"),
        ('[accounts.a]\nremote_data = "maybe"', r" for a: remote_data must be keep, drop or raw_format\.$"),
        ("[accounts.a]\nresume_hours = inf", r" for a: resume_hours must be a number, at most 48\.$"),
        ("[accounts.a]\npage_size = 0", r" for a: page_size must be a whole number, at least 1\.$"),
        ("[accounts.a]\npage_size = 10001", r" for a: page_size must be a whole number, at most 10,000\.$"),
        ('[accounts.a]\ncalls_per_hour = "9"', r" for a: calls_per_hour must be a whole number\.$"),
        ("[accounts.a]\nmax_hours = 0", r" for a: max_hours must be a number, above 0\.$"),
        ("[accounts.a]\nmax_gigabytes = 0", r" for a: max_gigabytes must be a number, above 0\.$"),
        ("[accounts.a]\nmax_gigabytes = nan", r" for a: max_gigabytes must be a number, above 0\.$"),
        ("[accounts.a]\nmax_records = 0", r" for a: max_records must be a whole number, at least 1\.$"),
        ("[accounts.a]\nmax_records = 1.5", r" for a: max_records must be a whole number\.$"),
        ("[accounts.a]\nname = 5", r" for a: name must be a text in quotes\.$"),
        ("[accounts.a]\nname = 2026-01-31", r" for a: name must be a text in quotes\.$"),
        ('[accounts.a]\nexcluded_roles = "tutor"', r" for a: excluded_roles must be a list of texts in quotes, "),
        ("[accounts.a]\nexcluded_roles = [5]", r" for a: excluded_roles must be a list of texts in quotes, "),
        ("[accounts.a]\nremote_query = 7", r" for a: remote_query must be a table\.$"),
        ("[accounts]\na = 3", r": every account must be a table \[accounts\.<id>\]\.$"),
        ("accounts = 3", r": every account must be a table \[accounts\.<id>\]\.$"),
        ("[accounts.a", ""),
        ("name: acme", ""),
        ("[accounts.a]\n[accounts.a]\n", ""),
    ],
)
def test_an_invalid_option_is_one_sentence_that_names_the_file_and_the_option(read, text, problem):
    with pytest.raises(
        SettingsError, match=rf"^LMS_ACCOUNTS_FILE \S+accounts\.toml can't be used.*{problem}"
    ) as refused:
        read(text)
    assert "\n" not in str(refused.value)


def test_an_ambiguous_query_parameter_is_refused(read):
    with pytest.raises(SettingsError, match=r"can't be used for a: 'b\[c\]' can't be the name of a parameter"):
        read('[accounts.a.remote_query]\n"b[c]" = 1\n')


def test_an_invalid_value_is_not_in_the_message(read):
    with pytest.raises(SettingsError) as refused:
        read('[accounts.a]\nname = ["s3cret"]\nstrategy = "s3cret"\nremote_query = { token = "s3cret" }')
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("account_id", ["../../x", "", "a b", "a.b", "__HIVE_DEFAULT_PARTITION__", "ä", "x" * 65])
def test_an_id_that_can_not_be_a_path_is_refused(read, account_id):
    with pytest.raises(BadIdError, match="can't be an account id"):
        read(f'[accounts."{account_id}"]\n')


def test_a_file_that_is_not_text_can_not_be_used(tmp_path):
    (tmp_path / "accounts.toml").write_bytes(b"\xff\xfe[accounts.a]")
    with pytest.raises(SettingsError, match="can't be used"):
        load_options(Settings(accounts_file=tmp_path / "accounts.toml"))


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_can_not_be_read_says_so(tmp_path, name):
    with pytest.raises(SettingsError, match=r"^LMS_ACCOUNTS_FILE \S+ can't be read: [^\n]+; correct the path\.$"):
        load_options(Settings(accounts_file=tmp_path / name))


def test_the_options_can_not_be_changed():
    with pytest.raises(AttributeError):
        AccountOptions().name = "other"  # type: ignore[misc]


def test_a_settings_error_is_wrong_use():
    assert issubclass(SettingsError, WrongUseError)
    assert issubclass(WrongUseError, LmsPipelineError)


@pytest.mark.parametrize("configured", [None, "pair", "enrollment_id"])
def test_the_identity_of_talentlms_is_always_the_pair(configured):
    assert resolve_identity("talentlms", configured) == "pair"


@pytest.mark.parametrize(
    ("configured", "identity"), [(None, "enrollment_id"), ("pair", "pair"), ("enrollment_id", "enrollment_id")]
)
def test_the_identity_of_any_other_lms_is_the_enrollment_id_by_default(configured, identity):
    assert resolve_identity("docebo", configured) == identity


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("", ("tutor",)),
        ('[accounts.a]\nexcluded_roles = ["Mentor", "guest"]', ("Mentor", "guest")),
        ("[accounts.a]\nexcluded_roles = []", ()),
    ],
)
def test_the_excluded_roles_of_an_account_replace_those_of_the_settings(read, text, roles):
    options = read(text).get("a", AccountOptions())
    assert resolve_excluded_roles(Settings(excluded_roles=("tutor",)), options) == roles
