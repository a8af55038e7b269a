/** What went wrong in the agent, stable across releases. */
export type AgentErrorCode =
  | 'AGENT_OPTION_INVALID'
  | 'AGENT_CONFIG_UNREADABLE'
  | 'AGENT_NOT_ROOT'
  | 'AGENT_MOUNT_MISSING'
  | 'AGENT_STATE_UNUSABLE'
  | 'AGENT_ALREADY_RUNNING'
  | 'AGENT_HOOK_MISSING'
  | 'ENFORCEMENT_UNKNOWN'
  | 'POLICY_INVALID'
  | 'POLICY_READ_ONLY'
  | 'POLICY_UNKNOWN'
  | 'ENFORCEMENT_UNAVAILABLE'
  | 'ENFORCEMENT_UNSUPPORTED'
  | 'ENFORCEMENT_FULL'
  | 'PROCESS_UNKNOWN'
  | 'PROCESS_CHANGED'
  | 'PROCESS_PROTECTED'
  | 'REASON_MISSING'
  | 'HISTORY_RANGE_INVALID';

/** Every failure of the agent itself: the message says what failed and what to do, in one line. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}
