"""tables: which open data sets there are, where, under which licence, and whom to cite.

Comes in: nothing. Goes out: SOURCES, by the name that `mortcond fetch` takes. Addresses, licences and citations are
those that PhysioNet states on each data set's page.
"""

from dataclasses import dataclass

GOLDBERGER = (
    "Goldberger A. L. et al. (2000). PhysioBank, PhysioToolkit, and PhysioNet: Components of a new research resource "
    "for complex physiologic signals. Circulation 101(23), e215-e220."
)


@dataclass(frozen=True)
class Source:
    """An open data set: where it is, which of its files are wanted, and what its owners ask for."""

    name: str
    title: str
    url: str  # the folder that holds SHA256SUMS.txt
    wanted: tuple[str, ...]  # patterns of file names
    licence: str
    licence_url: str
    citations: tuple[str, ...]


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="physionet2012",
            title="PhysioNet/Computing in Cardiology Challenge 2012",
            url="https://physionet.org/files/challenge-2012/1.0.0/",
            wanted=("set-[abc].tar.gz", "Outcomes-[abc].txt", "LICENSE*"),
            licence="Open Data Commons Attribution License v1.0",
            licence_url="https://opendatacommons.org/licenses/by/1-0/",
            citations=(
                "Silva I., Moody G., Scott D. J., Celi L. A., Mark R. G. (2012). Predicting in-hospital mortality of "
                "ICU patients: The PhysioNet/Computing in Cardiology Challenge 2012. Computing in Cardiology 39, "
                "245-248.",
                GOLDBERGER,
            ),
        ),
        Source(
            name="mimic3-demo",
            title="MIMIC-III Clinical Database Demo v1.4",
            url="https://physionet.org/files/mimiciii-demo/1.4/",
            wanted=("*.csv", "*.csv.gz", "LICENSE*", "README*"),
            licence="Open Data Commons Open Database License v1.0",
            licence_url="https://opendatacommons.org/licenses/odbl/1-0/",
            citations=(
                "Johnson A., Pollard T., Mark R. (2019). MIMIC-III Clinical Database Demo (version 1.4). PhysioNet. "
                "https://doi.org/10.13026/C2HM2Q",
                GOLDBERGER,
            ),
        ),
        Source(
            name="mimic4-demo",
            title="MIMIC-IV Clinical Database Demo v2.2",
            url="https://physionet.org/files/mimic-iv-demo/2.2/",
            wanted=("*.csv", "*.csv.gz", "LICENSE*", "README*"),
            licence="Open Data Commons Open Database License v1.0",
            licence_url="https://opendatacommons.org/licenses/odbl/1-0/",
            citations=(
                "Johnson A., Bulgarelli L., Pollard T., Horng S., Celi L. A., Mark R. (2023). MIMIC-IV Clinical "
                "Database Demo (version 2.2). PhysioNet. https://doi.org/10.13026/dp1f-ex47",
                GOLDBERGER,
            ),
        ),
    )
}


def terms(source: Source) -> str:
    """Return licence and citations as a text."""
    cited = "\n".join(f"- {citation}" for citation in source.citations)
    return f"{source.title}\nLicence: {source.licence}, {source.licence_url}\nPlease cite:\n{cited}\n"
