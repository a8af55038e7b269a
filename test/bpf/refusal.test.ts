import t from 'tap';
import { BpfError } from '../../bpf/errors.ts';
import { explainRefusal, refusedProgram } from '../../bpf/refusal.ts';

const verifierLog = (verdict: string): string => `libbpf: prog 'p': BPF program load failed: Invalid argument
libbpf: prog 'p': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
${verdict}
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'p': failed to load: -22
libbpf: failed to load object 'x.o'
`;

t.test('what libbpf and the verifier say is put into words', async (t) => {
  for (const [log, errno, reason] of [
    [
      "libbpf: prog 'p': failed to find kernel BTF type ID of 'sock_send_length': -3\n",
      3,
      'this kernel has no hook named sock_send_length',
    ],
    [
      "libbpf: extern (func ksym) 'bpf_sock_destroy': not found in kernel or module BTFs\n",
      3,
      'this kernel has no function bpf_sock_destroy for BPF programs',
    ],
    [
      verifierLog('calling kernel function bpf_sock_destroy is not allowed'),
      13,
      'this kernel does not allow bpf_sock_destroy in this kind of program',
    ],
    [
      verifierLog('unknown func bpf_setsockopt#49'),
      22,
      'this kernel does not allow bpf_setsockopt in this kind of program',
    ],
    [
      verifierLog('program of this type cannot use helper bpf_setsockopt#49'),
      22,
      'this kernel does not allow bpf_setsockopt in this kind of program',
    ],
    [
      verifierLog('failed to resolve CO-RE relocation <byte_off> [12] struct sock.sk_gone (0:3 @ offset 24)'),
      22,
      "this kernel's types lack struct sock.sk_gone",
    ],
    [verifierLog('R1 type=scalar expected=fp'), 13, "the kernel's verifier refused it: R1 type=scalar expected=fp"],
    ['', 1, 'not permitted: it takes root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN'],
    ['', 22, 'cannot load p: invalid argument (EINVAL)'],
  ] as const) {
    t.equal(explainRefusal(new BpfError('BPF_OBJECT_LOAD', 'cannot load p', { errno, log })), reason);
  }
});

t.test('the refused program is the last one that libbpf names', async (t) => {
  t.equal(refusedProgram(verifierLog('no')), 'p');
  t.equal(refusedProgram("libbpf: extern (func ksym) 'x': not found in kernel or module BTFs\n"), undefined);
  t.equal(refusedProgram(''), undefined);
});
