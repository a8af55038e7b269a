/** Splits `items` into groups: two that have a key in common are in one group, and so on through others. */
export function connectedBy<T>(items: Iterable<T>, keysOf: (item: T) => Iterable<string>): T[][] {
  const parents: number[] = [];
  const keyOwner = new Map<string, number>();
  const all = [...items];

  const rootOf = (index: number): number => {
    let root = index;
    for (let parent = parents[root] ?? root; parent !== root; parent = parents[root] ?? root) {
      parents[root] = parents[parent] ?? parent;
      root = parent;
    }
    return root;
  };

  for (const [index, item] of all.entries()) {
    parents[index] = index;
    for (const key of keysOf(item)) {
      const owner = keyOwner.get(key);
      if (owner === undefined) keyOwner.set(key, index);
      else parents[rootOf(index)] = rootOf(owner);
    }
  }

  const groups = new Map<number, T[]>();
  for (const [index, item] of all.entries()) {
    const root = rootOf(index);
    const group = groups.get(root);
    if (group) group.push(item);
    else groups.set(root, [item]);
  }
  return [...groups.values()];
}
