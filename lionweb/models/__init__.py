"""The data model. Status changes go through services/transitions.py, every other write through a service."""

from lionweb.models.approval import ApprovalAction, ApprovalKind, RejectReason
from lionweb.models.assignment import Assignment
from lionweb.models.endpoint import Endpoint, EndpointSource
from lionweb.models.evaluation import EvaluationItem, EvaluationKind, EvaluationSet, LeakHit, LeakScan
from lionweb.models.experiment import Approval, Experiment, Iteration, MemberPool, Membership, MemberSource
from lionweb.models.instruction import Instruction, Pool, PoolEntry, PoolKind
from lionweb.models.ledger import AuditEvent, ModelCall
from lionweb.models.results import AuthorKind, Candidate, Checkpoint, Classification, Response, Review
from lionweb.models.review import (
    EXCLUDING,
    OPEN_STATES,
    OPINIONS,
    UNSETTLED,
    Decision,
    DecisionKind,
    ReviewLock,
    ReviewState,
)
from lionweb.models.stage import (
    ALLOWED_TRANSITIONS,
    ENDED,
    GATES,
    MetricPoint,
    Stage,
    StageEvent,
    StageKind,
    StageStatus,
)
from lionweb.models.user import Role, User
from lionweb.models.work import Claim, ItemFailure, Lease, Worker

__all__ = [
    "ApprovalAction",
    "ApprovalKind",
    "RejectReason",
    "EvaluationItem",
    "EvaluationKind",
    "EvaluationSet",
    "LeakHit",
    "LeakScan",
    "ReviewState",
    "UNSETTLED",
    "ReviewLock",
    "DecisionKind",
    "Decision",
    "OPINIONS",
    "OPEN_STATES",
    "EXCLUDING",
    "ALLOWED_TRANSITIONS",
    "ENDED",
    "GATES",
    "Approval",
    "Assignment",
    "AuditEvent",
    "AuthorKind",
    "Candidate",
    "Checkpoint",
    "Claim",
    "Classification",
    "Endpoint",
    "EndpointSource",
    "Experiment",
    "Instruction",
    "ItemFailure",
    "Iteration",
    "Lease",
    "MemberPool",
    "MemberSource",
    "Membership",
    "MetricPoint",
    "ModelCall",
    "Pool",
    "PoolEntry",
    "PoolKind",
    "Response",
    "Review",
    "Role",
    "Stage",
    "StageEvent",
    "StageKind",
    "StageStatus",
    "User",
    "Worker",
]
