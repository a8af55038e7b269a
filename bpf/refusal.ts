import type { BpfError } from './errors.ts';

/** The program that libbpf's messages about a failed load are about; undefined where they are about the whole object. */
export function refusedProgram(log: string): string | undefined {
  return [...log.matchAll(/^libbpf: prog '([^']+)':/gm)].at(-1)?.[1];
}

/** libbpf 1.x prints the verifier's log between these lines. */
const VERIFIER_LOG = /-- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/;

/** True where the verifier looked at the program and refused it, rather than the kernel at the caller. */
export function hasVerifierLog(log: string): boolean {
  return VERIFIER_LOG.test(log);
}

/** What libbpf 1.x and the verifier say, and what it means to somebody who wants to know why a feature is missing. */
const REASONS: readonly (readonly [pattern: RegExp, reason: (match: string) => string])[] = [
  [/failed to find kernel BTF type ID of '([^']+)'/, (hook) => `this kernel has no hook named ${hook}`],
  [
    /kernel BTF is missing|failed to (?:find|load) (?:valid )?(kernel BTF)/,
    () => 'this kernel was built without BTF (CONFIG_DEBUG_INFO_BTF)',
  ],
  [/extern \(func ksym\) '([^']+)': not found/, (name) => `this kernel has no function ${name} for BPF programs`],
  [
    /calling kernel function (\S+) is not allowed/,
    (name) => `this kernel does not allow ${name} in this kind of program`,
  ],
  [/unknown func (\w+)#\d+/, (helper) => `this kernel does not allow ${helper} in this kind of program`],
  [
    /program of this type cannot use helper (\w+)#\d+/,
    (helper) => `this kernel does not allow ${helper} in this kind of program`,
  ],
  [/failed to resolve CO-RE relocation <\w+> \[\d+\] (\S+ \S+)/, (type) => `this kernel's types lack ${type}`],
  [/(missing|invalid) CO-RE relocation/, () => "this kernel's types lack something the program reads"],
];

/** Why the kernel did not take a program, in one line for `doctor` and `/v1/status`. */
export function explainRefusal(error: BpfError): string {
  for (const [pattern, reason] of REASONS) {
    const match = pattern.exec(error.log);
    if (match) return reason(match[1] ?? '');
  }
  const verdict = verifierVerdict(error.log);
  if (verdict !== undefined) return `the kernel's verifier refused it: ${verdict}`;
  if (error.errno === 'EPERM') return 'not permitted: it takes root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN';
  return error.message.split('\n', 1)[0] ?? error.message;
}

/** The verifier's last line before its statistics says why it refused. */
function verifierVerdict(log: string): string | undefined {
  const verifier = VERIFIER_LOG.exec(log)?.[1];
  const lines = verifier
    ?.split('\n')
    .filter((line) => !/^(processed \d|verification time|stack depth|\s*$)/.test(line));
  return lines?.at(-1)?.trim();
}
