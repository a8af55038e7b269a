import { InterfaceBooks } from '../../agent/interface-books.ts';
import type { Direction } from '../../agent/readings.ts';
import { FakeInterfaces, FakeNamespaces, type Passing } from './fake-interfaces.ts';

export interface BooksHarness {
  kernel: FakeInterfaces;
  namespaces: FakeNamespaces;
  /** What is on disk. */
  closed: Map<string, string>;
  books: InterfaceBooks;
  /** Another agent over the same kernel and disk. */
  restart(): InterfaceBooks;
}

/** Books over a kernel, namespaces and a disk that a test makes up. */
export function makeBooks(cpus?: number): BooksHarness {
  const kernel = new FakeInterfaces(cpus);
  const namespaces = new FakeNamespaces();
  const closed = new Map<string, string>();
  const store = {
    closedInterfaces: () => new Map(closed),
    closeInterface: (key: string, seen: string) => void closed.set(key, seen),
  };
  const restart = (): InterfaceBooks => new InterfaceBooks(kernel.maps(), namespaces.asNamespaces(), store);
  return { kernel, namespaces, closed, books: restart(), restart };
}

export const nothing = (): void => undefined;

/** A plain packet of 1,000 bytes of IP over Ethernet. */
export const PACKET: Passing = {
  deviceBytes: 1014,
  devicePackets: 1,
  segmentedBytes: 1014,
  ipBytes: 1000,
  ipPackets: 1,
};

/** What passed all interfaces, gone ones included. */
export function ipBytes(books: InterfaceBooks, direction: Direction = 'rx'): number {
  return books.sum(books.read(nothing), direction).after.ipBytes;
}
