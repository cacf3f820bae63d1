"""What each audited action is called in a plain sentence. `{name}` is filled from the event's detail."""

from typing import Any

SENTENCES = {
    "approval.all": "approved all {count} open instructions",
    "approval.approved": "approved a generated instruction",
    "approval.edit": "edited a generated instruction before its approval",
    "approval.keep_anyway": "kept a candidate that was dropped as {dropped_as}",
    "approval.many.approve": "approved {count} instructions by a rule",
    "approval.many.reject": "rejected {count} instructions by a rule",
    "approval.rejected": "rejected a generated instruction",
    "approval.undo": "took back: {undone}, {count} instructions",
    "assignment.add": "assigned {user} to review",
    "assignment.remove": "took the assignment of {user} back",
    "budget.change": "changed the budget of {scope} from {before} to {after} US dollars",
    "bulk.cancel": "cancelled a bulk change after {done} rows",
    "bulk.cancelled": "cancelled a bulk change of {total} rows",
    "bulk.done": "finished a bulk change of {total} rows",
    "bulk.start": "began a bulk change: {change} {value}",
    "bulk.undo": "undid a bulk change of {done} rows",
    "conflict.resolve": "resolved a conflict as {kind}",
    "endpoint.change": "changed an endpoint",
    "endpoint.check": "checked an endpoint",
    "endpoint.create": "added an endpoint",
    "endpoint.sync": "found an endpoint in the installation",
    "evaluation_set.import": "imported the evaluation set {name} with {items} items",
    "evaluation_set.remove": "removed the evaluation set {name}",
    "experiment.cancel": "cancelled an experiment",
    "experiment.create": "made the experiment {name}",
    "experiment.import_judged": "imported {rows} judgements as {name}",
    "experiment.launch": "launched iterations: {iterations}",
    "experiment.pause": "paused an experiment",
    "experiment.replay": "replayed iteration {iteration} of {replayed} as {name}",
    "experiment.resume": "resumed an experiment",
    "gate.approve.close": "closed the approval gate with {left_open} open",
    "gate.review.close": "closed the review gate with {left_open} open",
    "instruction.delete": "deleted an instruction",
    "instruction.edit": "edited an instruction into instruction {into}",
    "instruction.label": "changed the labels of an instruction",
    "instruction.restore": "restored an instruction",
    "pool.delete": "deleted the pool {name}",
    "pool.import": "imported {rows} instructions",
    "stage.retry": "retried a stage",
    "threshold.apply": "moved the threshold from {before} to {after}; {changed} verdicts changed",
    "user.add": "added an account as {role}",
    "user.change": "changed an account to {role}",
    "user.deactivate": "deactivated the account {name}",
    "user.first": "made the first account",
    "user.invite": "invited {name} as {role}",
    "user.own_password": "chose a new password",
    "user.password": "gave {name} a new one-time password",
    "user.reactivate": "reactivated the account {name}",
    "user.role": "changed the role of {name} from {before} to {after}",
    "verdict.decide": "decided {after}",
    "verdict.decide_many": "decided {kind} on {count} items at once",
    "verdict.take_back": "took a verdict back",
    "verdict.take_back_many": "took {kind} on {count} items back at once",
    "view.delete": "deleted the view {name}",
    "view.save": "saved the view {name}",
}


class _Known(dict[str, Any]):
    """Values of the detail; one that an event lacks reads as a gap, not as an error."""

    def __missing__(self, key: str) -> str:
        return "…"


def sentence(action: str, detail: dict[str, Any]) -> str:
    """Without the actor before and the target after it. An action without a sentence of its own is spelt out."""
    pattern = SENTENCES.get(action)
    if pattern is None:
        return action.replace(".", ": ").replace("_", " ")
    return pattern.format_map(_Known({name: _words(value) for name, value in detail.items()}))


def _words(value: Any) -> str:
    if value is None:
        return "nothing"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text.replace("_", " ") if len(text) <= 80 else f"{text[:79]}…"
