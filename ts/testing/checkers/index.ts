/** All oracles of a run. */
import type { Checker, Setting } from "../history.ts";
import { Agreement, CommitQuorum } from "./agreement.ts";
import { BoundedMemory, Idempotence, SoundEvidence } from "./bounds.ts";
import { CommitCarryOver, CompleteViewChanges, NewViewsFollow, NullIsNothing } from "./carry-over.ts";
import {
  CertificatesAcrossViews,
  CertificateUniqueness,
  ProposalsOfPrimary,
  VerifiableCertificates,
} from "./certificates.ts";
import { Checkpoints, StateBehindProposals, StatesBehindCheckpoints, VerifiedStates } from "./checkpoints.ts";
import { Fenced, NoDoubleVotes, NoForgottenVotes } from "./double-votes.ts";
import { ExactlyOnce } from "./exactly-once.ts";
import { Linearizability, type Model } from "./linearizability.ts";
import { Monotone, WithinWindow } from "./monotone.ts";
import { PersistBeforeSend } from "./persistence.ts";
import { AcceptedReplies, Liveness } from "./replies.ts";
import { TotalOrder } from "./total-order.ts";
import { Validity } from "./validity.ts";
import { OneWordPerView, ViewsLeftForGood, ViewsSettle, ViewSteps } from "./views.ts";

/** What must hold with at most f Byzantine replicas. */
export function allCheckers(setting: Setting, model: Model | undefined): Checker[] {
  return [
    new Agreement(),
    new CommitQuorum(setting),
    new TotalOrder(),
    new Validity(),
    new ExactlyOnce(),
    new CertificateUniqueness(setting),
    new CertificatesAcrossViews(setting),
    new CommitCarryOver(setting),
    new NewViewsFollow(setting),
    new ProposalsOfPrimary(setting),
    new Checkpoints(setting),
    new AcceptedReplies(),
    new Liveness(setting),
    new ViewsSettle(setting),
    new Linearizability(model),
    ...alwaysCheckers(setting),
  ];
}

/** What an honest replica keeps to even when more than f others lie. */
export function alwaysCheckers(setting: Setting): Checker[] {
  return [
    new NoDoubleVotes(),
    new Fenced(),
    new NoForgottenVotes(),
    new OneWordPerView(),
    new ViewsLeftForGood(),
    new ViewSteps(setting),
    new CompleteViewChanges(setting),
    new NullIsNothing(),
    new StatesBehindCheckpoints(),
    new StateBehindProposals(),
    new VerifiedStates(),
    new PersistBeforeSend(setting),
    new Monotone(),
    new WithinWindow(setting),
    new VerifiableCertificates(setting),
    new BoundedMemory(),
    new Idempotence(),
    new SoundEvidence(setting),
  ];
}
