/** The signatures that our VIEW-CHANGEs and NEW-VIEWs carry, out of the vote table that the reactor holds. */
import { bytesOf } from "../codec/digest.ts";
import type { SignatureSource } from "../codec/viewChange.ts";
import type { Reactor } from "../native/native.ts";

/** What `reactor` holds; our own signatures are made where they are missing, and count as sent. */
export function signaturesOf(reactor: Reactor): SignatureSource {
  return {
    certificate({ phase, view, sequence, digest, signers }) {
      return phase === "checkpoint"
        ? reactor.stableCertificate(sequence, bytesOf(digest), signers)
        : reactor.preparedCertificate(view, sequence, bytesOf(digest), signers);
    },
    proposal: (view, sequence, digest) => reactor.proposalSignature(view, sequence, bytesOf(digest)),
  };
}
