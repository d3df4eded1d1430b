-- What may be asked of a MultiRegionApp now.

-- Whether a condition of this name is True, and for what reason.
local function is_true(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == name then
        return found.status == "True", found.reason
      end
    end
  end
  return false, "Absent"
end

local status = obj.status or {}
-- A token that is there before the operator has seen the object is recorded, and asks for nothing.
local known = status.observedGeneration ~= nil and status.observedGeneration >= 0
local deleted = obj.metadata.deletionTimestamp ~= nil
local suspended = obj.spec.suspend == true
local observing = obj.spec.managementPolicy == "Observe"
local drilling = status.lastDrill ~= nil and status.lastDrill.result == "Running"
local at_primary = status.writer ~= nil and status.writer.active == "Primary"
local could_fail_over, why = is_true("FailoverHealthy")
-- Not in the midst of a rollout.
could_fail_over = could_fail_over and why == "DRReady" and is_true("ReplicationHealthy")

local actions = {}
actions["suspend"] = {
  ["disabled"] = suspended or deleted,
  ["displayName"] = "Suspend",
  ["iconClass"] = "fa fa-fw fa-pause-circle"
}
actions["resume"] = {
  ["disabled"] = not suspended,
  ["displayName"] = "Resume",
  ["iconClass"] = "fa fa-fw fa-play-circle"
}
actions["reconcile"] = {
  ["disabled"] = suspended or not known,
  ["displayName"] = "Reconcile now",
  ["iconClass"] = "fa fa-fw fa-sync"
}
actions["drill"] = {
  ["disabled"] = not (known and at_primary and could_fail_over) or suspended or observing or deleted or drilling,
  ["displayName"] = "Drill the failover",
  ["iconClass"] = "fa fa-fw fa-exchange-alt"
}
return actions
