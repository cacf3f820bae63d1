"""The data model. Status changes go through services/transitions.py, every other write through a service."""

from lionweb.models.browsing import (
    BULK_OPEN,
    BULK_TRANSITIONS,
    BulkAction,
    BulkItem,
    BulkJob,
    BulkStatus,
    InstructionWords,
    ItemState,
    NewWords,
    SavedView,
    Word,
)
from lionweb.models.endpoint import Endpoint, EndpointSource
from lionweb.models.experiment import Approval, Experiment, Iteration, MemberPool, Membership, MemberSource
from lionweb.models.instruction import Instruction, Pool, PoolEntry, PoolKind
from lionweb.models.ledger import AuditEvent, ModelCall
from lionweb.models.results import AuthorKind, Candidate, Checkpoint, Classification, Response, Review
from lionweb.models.review import EXCLUDING, OPEN_STATES, OPINIONS, Decision, DecisionKind, ReviewLock, ReviewState
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
    "BULK_OPEN",
    "BULK_TRANSITIONS",
    "BulkAction",
    "BulkItem",
    "BulkJob",
    "BulkStatus",
    "ItemState",
    "SavedView",
    "Word",
    "InstructionWords",
    "NewWords",
    "ReviewState",
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
