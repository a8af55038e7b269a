import t from 'tap';
import { ConfiguredPorts } from '../../agent/configured-ports.ts';
import type { ProcessRecord } from '../../agent/process-table.ts';
import type { SkypeSettings } from '../../agent/profiles/skype.ts';

function makeRecord(overrides: Partial<ProcessRecord> = {}): ProcessRecord {
  return { profile: 'skype', exitedAtMs: null, container: null, ...overrides } as ProcessRecord;
}

t.test('the ports that Skype is configured to listen on, as they were read last', async (t) => {
  let nowMs = 0;
  let listeningPorts = [33_991];
  const homes: string[] = [];
  const read = async (home: string): Promise<SkypeSettings> => {
    homes.push(home);
    return { path: `${home}/.Skype/shared.xml`, listeningPorts, problem: null };
  };
  const ports = new ConfiguredPorts(() => nowMs, read);
  const ask = async (): Promise<readonly number[] | undefined> => {
    ports.of(makeRecord(), '/home/ada');
    await Promise.resolve();
    return ports.of(makeRecord(), '/home/ada');
  };
  t.same(await ask(), [33_991]);
  listeningPorts = [1234];
  t.same(await ask(), [33_991], 'the file is not read at each reading');
  nowMs += 30_000;
  t.same(await ask(), [1234]);
  t.same(homes, ['/home/ada', '/home/ada']);
});

t.test('of no other program, of none that ended, and not in a container', async (t) => {
  let reads = 0;
  const read = async (): Promise<SkypeSettings> => {
    reads++;
    return { path: '', listeningPorts: [1], problem: null };
  };
  const ports = new ConfiguredPorts(() => 0, read);
  for (const record of [
    makeRecord({ profile: 'tor' }),
    makeRecord({ profile: null }),
    makeRecord({ exitedAtMs: 1 }),
    makeRecord({ container: 'c0ffee' }),
  ]) {
    t.equal(ports.of(record, '/home/ada'), undefined);
  }
  t.equal(ports.of(makeRecord(), null), undefined, 'nor of a user without a home');
  t.equal(reads, 0);
});

t.test('nothing where the file can not be read', async (t) => {
  const read = async (): Promise<SkypeSettings> => ({ path: '', listeningPorts: [], problem: 'not there' });
  const ports = new ConfiguredPorts(() => 0, read);
  ports.of(makeRecord(), '/home/ada');
  await Promise.resolve();
  t.equal(ports.of(makeRecord(), '/home/ada'), undefined);
});
