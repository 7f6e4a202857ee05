"""Known limits of a model, each derived from a measurement of its run."""

from __future__ import annotations

from collections.abc import Iterator

from stsflow.tasks.card.evaluation_section import EvaluationSection, GroupRow, SuiteBlock, headline_block
from stsflow.tasks.card.evidence import Evidence
from stsflow.tasks.card.facts import Fact, Sentence, sentence
from stsflow.tasks.card.training_section import TableRow, TrainingSection
from stsflow.tasks.ground.schema import Record
from stsflow.tasks.records.findings import Finding


class LimitsSection(Record):
    """What a user should know before relying on the model."""

    limits: tuple[Sentence, ...]
    recommendations: tuple[Sentence, ...]
    overlaps: tuple[TableRow, ...]
    """Overlap of training and evaluation data: pairs, sentences, rows, of rows."""
    findings: tuple[TableRow, ...]
    """Severity, subject, message, remedy."""


def limits_section(evidence: Evidence, evaluation: EvaluationSection, training: TrainingSection) -> LimitsSection:
    """Limits from lengths, languages, exposure, slices, overlap and intervals."""
    block = headline_block(evidence, evaluation.suites)
    limits = [
        *_length(evidence),
        _languages(evidence),
        *_unseen(training),
        *_weakest(block),
        *_worse_than_base(evaluation),
        _sample_size(block),
        *_repeated_use(evidence, block),
    ]
    return LimitsSection(
        limits=tuple(limits),
        recommendations=tuple(_recommendations(evidence, evaluation, block)),
        overlaps=tuple(_overlaps(evidence)),
        findings=tuple(_findings(evidence)),
    )


def _length(evidence: Evidence) -> list[Sentence]:
    tokens, source = evidence.tokens, evidence.source("TokenReport")
    longest = evidence.trained.max_seq_length or tokens.max_seq_length
    limit = source.fact("model.max_seq_length", longest, "count")
    found = [sentence("Texts longer than ", limit, " tokens are cut; what is cut does not reach the embedding.")]
    columns = [column for item in tokens.sets if item.role == "train" for column in item.columns.values()]
    if columns:
        p99 = max(column.p99 for column in columns)
        highest = source.fact("tokens.highest_p99", p99, "decimal")
        found.append(
            sentence(
                "Across the columns of the training sets the 99th percentile is at most ", highest,
                " tokens and the longest text has ",
                source.fact("tokens.longest", max(column.maximum for column in columns), "count"),
                " tokens; behaviour on longer input was neither trained nor measured."
            )
            if p99 < longest
            else sentence(
                "Training texts reach the limit: the highest 99th percentile of a column is ", highest, " tokens."
            )
        )  # fmt: skip
        cut, rows = sum(column.truncated_rows for column in columns), sum(column.rows for column in columns)
        found.append(
            sentence(
                "Of all texts of the training sets ", source.fact("tokens.cut", cut, "count"), " of ",
                source.fact("tokens.texts", rows, "count"), " (",
                source.fact("tokens.cut_share", cut / rows if rows else 0.0, "share"),
                ") are longer than the limit; those of them that were fed were cut.",
            )
        )  # fmt: skip
    return found


def _languages(evidence: Evidence) -> Sentence:
    data, base = evidence.data, evidence.base
    trained = ", ".join(sorted({code for item in data.train for code in item.language}))
    measured = ", ".join(sorted({code for item in data.evaluation for code in item.language}))
    unstated = "The recipe does not state the languages of the "
    told = [
        f"Fine-tuning saw these languages: {trained}."
        if trained
        else f"{unstated}training data, so nothing is claimed for any language.",
        f"Scores were measured on: {measured}." if measured else f"{unstated}evaluation data.",
    ]
    if base.language:
        covered = ", ".join(base.language)
        told.append(f"The base model covers {covered}; what tuning did to the others was not measured.")
    titles = ", ".join(dict.fromkeys(item.title for item in data.train))
    return sentence(f"{' '.join(told)} The domain is that of {titles}; other domains were not measured.")


def _unseen(training: TrainingSection) -> list[Sentence]:
    return [
        sentence(
            f"Of {row.title} the model saw ", row.counted["unique_rows_seen"], " of ", row.counted["rows"], " rows (",
            row.counted["seen_share"], "); the rest of it had no part in the training.",
        )
        for row in training.exposure
        if (share := row.counted["seen_share"].number) is not None and share < 0.999
    ]  # fmt: skip


def _weakest(block: SuiteBlock) -> list[Sentence]:
    groups: dict[str, list[GroupRow]] = {}
    for row in block.groups:
        if row.tuned.number is not None:
            groups.setdefault(row.name.partition(":")[0], []).append(row)
    found = []
    for kind, rows in groups.items():
        worst = min(rows, key=lambda row: row.tuned.number or 0.0)
        parts: list[Fact | str] = [
            f"By {kind}, {block.title} is weakest on {worst.name}: {block.primary} ", worst.tuned, " on ", worst.rows,
            " rows",
        ]  # fmt: skip
        if worst.base:
            parts += [" (base model ", worst.base, ")"]
        found.append(sentence(*parts, "."))
    if "score" in groups:
        found.append(
            sentence(
                "Correlations inside a band of gold scores are lower by nature, because the band narrows what there is "
                "to rank; compare bands with the base model, not with the whole suite."
            )
        )
    return found


def _worse_than_base(evaluation: EvaluationSection) -> list[Sentence]:
    found = []
    for block in evaluation.suites:
        change = block.primary_row.change
        rise, side = (change and change.number) or 0.0, "below" if block.higher_is_better else "above"
        if change is not None and (rise < 0 if block.higher_is_better else rise > 0):
            found.append(
                sentence(f"On {block.title} the tuned model is {side} its base model: {block.primary} ", change, ".")
            )
    return found


def _sample_size(block: SuiteBlock) -> Sentence:
    row, compared = block.primary_row, block.comparison
    parts: list[Fact | str] = ["The headline rests on ", block.rows, " rows"]
    if row.interval:
        parts += [": its interval runs from ", row.interval[0], " to ", row.interval[1]]
    if compared and compared.rows_needed:
        parts += [
            "; to tell a difference of the size found from zero with a power of four in five takes about ",
            compared.rows_needed,
            " rows",
        ]
    return sentence(*parts, ".")


def _repeated_use(evidence: Evidence, block: SuiteBlock) -> Iterator[Sentence]:
    """How often decisions have looked at the headline's rows, and what evidence they still hold."""
    release, account = evidence.recipe.release, evidence.account
    if release.error_budget == "off" and release.register_as and release.rules:
        yield sentence(
            "Promotion has no error budget: each decision is judged as if it were the only one on its test set, and "
            "the chance that one of them promotes a model that is no better grows with their number."
        )
    if account is None:
        return
    source = evidence.source("Account", suite=block.name, rows=account.rows)
    parts: list[Fact | str] = [
        f"Decisions on promotion that had looked at the rows of {block.title} when this card was written: ",
        source.fact("looks.count", account.looks, "count"), "; ",
        source.fact("looks.left", account.left, "percent"), " of their error budget of ",
        source.fact("looks.level", account.budget.level, "percent"),
        " a year was left" if account.budget.per == "year" else " in all was left",
    ]  # fmt: skip
    if account.next_level > 0:
        next_level = source.fact("looks.next_level", account.next_level, "percent")
        parts += [", and the next decision had an error of at most ", next_level]
    for gain, rows in account.rows_for.items():
        parts += ["; to show a true gain of ", source.fact(f"looks.gain.{gain}", float(gain), "score"), " takes about "]
        parts += [source.fact(f"looks.rows.{gain}", rows, "count"), " rows"]
    yield sentence(*parts, ".")


def _recommendations(evidence: Evidence, evaluation: EvaluationSection, block: SuiteBlock) -> list[Sentence]:
    found = [
        sentence(
            "Measure the model on your own texts before you rely on it; scores on public test sets say little about "
            "other domains. Choose thresholds on similarities on your own data: a cosine has no fixed meaning."
        ),
        sentence(f"Keep inputs within the lengths of the training texts, and quote the score on {block.title} "
                 f"({block.split}) with its interval."),
    ]  # fmt: skip
    if block.comparison and block.comparison.verdict in ("not told apart", "worse"):
        found.append(sentence("These measurements give no reason to prefer this model to its base model."))
    if any(item.exact.rows for item in evidence.data.overlaps) and any(item.clean for item in evaluation.suites):
        found.append(
            sentence(
                "Training and evaluation data share texts: judge by the score on rows that share nothing with training."
            )
        )
    return found


def _overlaps(evidence: Evidence) -> Iterator[TableRow]:
    for overlap in evidence.data.overlaps:
        train = evidence.data.training_set(overlap.train)
        evaluation = evidence.data.evaluation_set(overlap.evaluation)
        for how, counts in (("exact", overlap.exact), ("normalised", overlap.normalised), ("near", overlap.near)):
            if counts is None:
                continue
            name = f"overlap.{overlap.train}.{overlap.evaluation}.{how}"
            source = evidence.source("Overlap", data_set=overlap.train, suite=overlap.evaluation, rows=counts.of_rows)
            cells = (
                source.fact(f"{name}.{field}", getattr(counts, field), "count")
                for field in ("pairs", "sentences", "rows", "of_rows")
            )
            yield TableRow(label=train.title, cells=(evaluation.title, how, *cells))


def _findings(evidence: Evidence) -> Iterator[TableRow]:
    """What the stages found, each finding once."""
    once: dict[tuple[str, str, str], Finding] = {}
    for stage in (evidence.data, evidence.tokens, evidence.plan, evidence.trained):
        for item in stage.findings if stage else ():
            once.setdefault((item.code, item.subject, item.message), item)
    for number, item in enumerate(once.values()):
        source, name = evidence.source("Finding", data_set=item.subject), f"finding.{number}"
        remedy = source.fact(f"{name}.remedy", item.remedy) if item.remedy else "nothing to do"
        yield TableRow(label=item.severity, cells=(item.subject, source.fact(name, item.message), remedy))
