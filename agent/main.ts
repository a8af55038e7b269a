import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { createServer } from '../api/server.ts';
import { readTokenFile } from '../api/tokens.ts';
import { ArrayWindow } from '../bpf/array-window.ts';
import { bootTimeNs, wallTimeMs } from '../bpf/clock.ts';
import { RL_TOTALS_OFFSET } from '../bpf/layouts.ts';
import { returnFreedMemory, returnProgramPages } from '../bpf/own-memory.ts';
import { peerCredentials } from '../bpf/process-fd.ts';
import { Accounting } from './accounting.ts';
import { Agent } from './agent.ts';
import { Audit } from './audit.ts';
import { type Config, describeOptions, readConfig } from './config.ts';
import { HostControl } from './control.ts';
import { KernelEnforcer } from './enforcement/kernel-enforcer.ts';
import { bootId, epochOf } from './epoch.ts';
import { AgentError } from './errors.ts';
import { Fingerprints } from './fingerprints.ts';
import { FlowTable } from './flow-table.ts';
import { makeFolders } from './folders.ts';
import { harvest } from './harvest.ts';
import { InterfaceBooks } from './interface-books.ts';
import { lock } from './lock.ts';
import { ensureBpffs, findCgroupRoot } from './mounts.ts';
import { NetworkNamespaces } from './network-namespaces.ts';
import { Policies } from './policies/policies.ts';
import { readProcStat } from './proc-stat.ts';
import { ProcessKiller } from './process-killer.ts';
import { loadProfiles, recogniser } from './profiles/profiles.ts';
import { Protection } from './protection.ts';
import { sparing } from './sparing.ts';
import { Store } from './store.ts';
import { Users } from './users.ts';
import { toWallMs } from './wall-time.ts';

const RETURN_FREED_MS = 10_000;
const RETURN_PROGRAM_MS = 60_000;
/** With over 30,000 connections the flow table is brought up to date less often than it is read. */
const SETTLING_SHARE = 0.01;

/**
 * The composition root: everything is made here and handed on. Runs until SIGTERM or SIGINT; what was made is released
 * in reverse order.
 */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help') || argv.includes('-h')) {
    console.log(['Usage: relayledger agent [options]', '', ...describeOptions()].join('\n'));
    return;
  }
  const config = readConfig(argv, process.env);
  if (process.getuid?.() !== 0) {
    throw new AgentError('AGENT_NOT_ROOT', 'the agent loads programs into the kernel: run it as root');
  }
  const logger = pino({ level: config.logLevel });
  const stopped = waitForSignal();
  await run(config, logger, stopped);
}

async function run(config: Config, logger: Logger, stopped: Promise<string>): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  await using stack = new AsyncDisposableStack();
  for (const place of [config.bpffs, config.stateDir]) {
    stack.adopt(await lock(place), (server) => void server.close());
  }
  const tokens = config.tokenFile === undefined ? [] : await readTokenFile(config.tokenFile);
  ensureBpffs(config.bpffs);
  const cgroup = config.cgroup ?? findCgroupRoot();

  const clock = { nowMs: wallTimeMs, bootNs: bootTimeNs };
  const store = stack.use(Store.open(config.stateDir));
  // An agent that could not start leaves nothing behind; one that adopted leaves what it found.
  let removesAtEnd = false;
  stack.defer(() => {
    if (removesAtEnd) Accounting.remove(config.bpffs, beforeMapsGo);
  });
  const users = new Users();
  const profiles = config.profiles ? loadProfiles() : null;
  const recognise = recogniser(profiles);
  const beforeMapsGo = (bpffs: string): void => {
    try {
      const processes = harvest({ bpffs, store, clock, users, recognise });
      logger.info({ processes }, 'took over what had been counted');
    } catch (error) {
      logger.warn({ err: error }, 'what was counted since the last checkpoint is lost');
    }
  };
  const accounting = stack.use(Accounting.start({ bpffs: config.bpffs, cgroup, beforeMapsGo }));
  removesAtEnd = config.detachOnExit || !accounting.adopted;
  const fingerprints = config.fingerprints ? stack.use(new Fingerprints(cgroup)) : null;
  const missing = [...accounting.missing, fingerprints?.missing].filter((each) => each != null);
  for (const { feature, consequence, reason } of missing) logger.warn({ feature, reason }, consequence);
  store.beginEpoch(epochOf(accounting.sinceNs), Date.now());

  const maps = {
    interfaces: accounting.map('interfaces'),
    names: accounting.map('interface_names'),
    baselines: accounting.map('interface_baselines'),
  };
  const books = new InterfaceBooks(maps, new NetworkNamespaces(), store);
  if (!accounting.adopted) books.begin();
  const flows = new FlowTable({
    flows: stack.use(new ArrayWindow(accounting.map('flows'))),
    incomes: stack.use(new ArrayWindow(accounting.map('incomes'))),
    settle: sparing(() => accounting.settleFlows(), { share: SETTLING_SHARE }),
    used: () => Number(accounting.totals.getBigUint64(RL_TOTALS_OFFSET.flowsUsed, true)),
    capacity: accounting.map('flows').info.maxEntries,
    free: accounting.map('free_flows'),
    peers: accounting.map('peer_flows'),
    pairs: accounting.map('pairs'),
  });
  const nowMs = clock.nowMs;
  const audit = new Audit({ db: store.database, logger, nowMs, userName: (uid) => users.nameOf(uid) });
  const protection = new Protection({ agentPid: process.pid, names: config.protected });
  const enforcer = stack.use(
    new KernelEnforcer(accounting, {
      nowMs,
      protectedPrograms: protection.programs(),
      failed: (error) => logger.error({ err: error }, 'enforcement could not go round'),
    }),
  );
  const killer = new ProcessKiller({
    protection,
    find: (pid) => policies.live(pid),
    toWallMs: (ns) => toWallMs(clock, ns),
  });
  const policies: Policies = new Policies({
    enforcer,
    records: store.policies,
    configured: config.policies,
    protection,
    audit,
    clock,
    bootId: bootId(),
    readProcess: readProcStat,
    killer,
    logger,
  });
  const agent = stack.use(
    new Agent({
      accounting,
      store,
      books,
      flows,
      fingerprints,
      policies,
      users,
      clock,
      logger,
      version,
      kernel: release(),
      intervalSeconds: config.interval,
      maxApps: config.maxApps,
      metricsPerProcess: config.metricsPerProcess,
      services: new Set(config.services),
      recognise,
    }),
  );
  agent.start();
  for (const [giveBack, ms] of [
    [returnFreedMemory, RETURN_FREED_MS],
    [returnProgramPages, RETURN_PROGRAM_MS],
  ] as const) {
    const timer = setInterval(giveBack, ms);
    stack.defer(() => clearInterval(timer));
  }
  const control = new HostControl({
    policies,
    enforcer,
    killer,
    audit,
    history: store.history,
    nowMs,
    refresh: () => agent.refresh(),
    find: (pid) => policies.live(pid),
    processes: () => agent.processes(),
    isApp: (name) => agent.hasApp(name) || (profiles?.byId(name) ?? null) !== null,
  });
  const served = { readings: agent, control, logger, version, tokens, makeFolders, peerCredentials };
  const server = stack.use(createServer(served));
  const { urls, socketPath } = await server.listen({ tcp: config.listen, socketPath: config.socket });
  removesAtEnd = config.detachOnExit;
  logger.info({ urls, socketPath, cgroup, adopted: accounting.adopted }, accounting.adopted ? 'adopted' : 'accounting');
  logger.info({ signal: await stopped }, 'stopping; the kernel goes on counting unless told to detach');
}

function waitForSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  return promise;
}
