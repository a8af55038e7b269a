import type { Finding } from './judgement.ts';
import type { RelayKind } from './rules.ts';

export const PIPE_CONFIDENCE = 0.95;

const CONFIDENCE: Readonly<Record<RelayKind, number>> = {
  causal: 0.98,
  'causal-one-way': 0.95,
  held: 0.9,
  'held-datagrams': 0.9,
  framed: 0.92,
  compressed: 0.9,
  pipe: PIPE_CONFIDENCE,
  undecided: 0.5,
};

export function confidenceOf(finding: Finding): number {
  return CONFIDENCE[finding.kind];
}
