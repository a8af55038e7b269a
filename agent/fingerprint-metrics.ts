import type { Exposition } from './exposition.ts';
import { label } from './exposition.ts';
import type { FingerprintStatus } from './readings.ts';

/** Only where the option `fingerprints` is on. */
export function writeFingerprints(out: Exposition, status: FingerprintStatus): void {
  const pairs = 'relayledger_fingerprint_pairs';
  out.family(pairs, 'gauge', 'Suspected pairs of flows whose content is compared, and those that wait for room.');
  out.sample(pairs, label('state', 'compared'), status.pairs);
  out.sample(pairs, label('state', 'waiting'), status.pairsWaiting);
  const pieces = 'relayledger_fingerprint_pieces_total';
  out.family(pieces, 'counter', 'Sampled pieces of the content of suspected flows, by what became of them.');
  out.sample(pieces, label('what', 'received'), status.receivedPieces);
  out.sample(pieces, label('what', 'sent'), status.sentPieces);
  out.sample(pieces, label('what', 'matched'), status.matchedPieces);
  out.sample(pieces, label('what', 'evicted'), status.evictedPieces);
  const skipped = 'relayledger_fingerprint_skipped_bytes_total';
  out.family(skipped, 'counter', 'Payload of suspected flows beyond what is looked at in a second.');
  out.sample(skipped, '', status.skippedBytes);
}
