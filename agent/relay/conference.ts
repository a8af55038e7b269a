import type { FlowEvidence } from './evidence.ts';
import type { Exchange } from './groups.ts';

/*
 * Does everybody hear all that anybody says? A broker or a conference whose members share hosts shows only some of its
 * pairs, as connections of one host are no relay by themselves, and what a member hears from its own host looks like
 * something else. But then as many bytes go to each member as come from all together, or from all others, and that of
 * each of several members is no accident.
 */

const MIN_SPEAKERS = 2;
const MIN_LISTENERS = 3;
/** Acknowledgements, keep-alives, and what is still on its way. */
const NEAR = 0.02;

export function isConference(exchange: Exchange): boolean {
  const speakers = flowsOf(exchange.map((direction) => direction.sources));
  const listeners = flowsOf(exchange.map((direction) => direction.destinations));
  if (speakers.size < MIN_SPEAKERS || listeners.size < MIN_LISTENERS) return false;
  let said = 0;
  for (const { received } of speakers.values()) said += received;
  for (const { id, sent } of listeners.values()) {
    const own = speakers.get(id)?.received ?? 0;
    if (!isNear(sent, said) && !isNear(sent, said - own)) return false;
  }
  return true;
}

function flowsOf(sides: readonly (readonly FlowEvidence[])[]): Map<string, FlowEvidence> {
  return new Map(sides.flat().map((flow) => [flow.id, flow]));
}

function isNear(heard: number, said: number): boolean {
  return Math.abs(heard - said) <= NEAR * said;
}
