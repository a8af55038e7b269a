import type { KernelPolicy } from './enforcer.ts';
import { periodAt } from './period.ts';
import type { Policy } from './policy.ts';
import { parsePorts } from './validate.ts';

/** The policy in the kernel's terms. Pure. */
export function toKernelPolicy(name: string, policy: Policy, usedBytes: number, nowMs: number): KernelPolicy {
  const { scope, rate, quota, deny, expiresAt } = policy;
  const period = quota && periodAt(quota.period, nowMs);
  const ports = (deny?.ports ? parsePorts(deny.ports) : null) ?? { first: 1, last: 65_535 };
  return {
    name,
    scope,
    rate: rate && {
      bytesPerSecond: rate.bytesPerSecond,
      sent: rate.direction !== 'received',
      received: rate.direction !== 'sent',
    },
    quota: quota && {
      bytes: quota.bytes,
      usedBytes,
      endsAtMs: period?.endMs ?? null,
      periodMs: period?.lengthMs ?? null,
      then: quota.then,
      throttleBytesPerSecond: quota.throttleBytesPerSecond,
    },
    deny: deny && {
      inbound: deny.inbound,
      outbound: deny.outbound,
      firstPort: ports.first,
      lastPort: ports.last,
      how: deny.how,
    },
    expiresAtMs: expiresAt === null ? null : Date.parse(expiresAt),
  };
}
