-- Health of a MultiRegionApp: Healthy is as declared, served, and able to fail over within the objectives.
-- The first that holds is told, the gravest before the rest.

local function health(status, message)
  return { status = status, message = message }
end

-- A condition of this name; one that is neither True nor False if there is none.
local function condition(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == name then
        return found
      end
    end
  end
  return { type = name, status = "Absent", reason = "Absent", message = "not told yet" }
end

local function words(told)
  local text = told.type .. " " .. told.reason
  if told.message ~= nil and told.message ~= "" then
    text = text .. ": " .. told.message
  end
  return text
end

local spec = obj.spec or {}
local observed = obj.status ~= nil and obj.status.observedGeneration == obj.metadata.generation
local ready = condition("Ready")
local synced = condition("Synced")
local stalled = condition("Stalled")
local reconciling = condition("Reconciling")
local failover = condition("FailoverHealthy")
local replication = condition("ReplicationHealthy")

if obj.metadata.deletionTimestamp ~= nil then
  if observed and stalled.status == "True" then
    return health("Degraded", "Being deleted. " .. words(stalled))
  end
  if spec.suspend == true then
    return health("Suspended", "Being deleted, which waits until suspend is false")
  end
  if observed then
    return health("Progressing", "Being deleted. " .. words(synced))
  end
  return health("Progressing", "Being deleted")
end

if not observed then
  return health("Progressing", "The operator has not looked at generation " .. tostring(obj.metadata.generation) .. " yet")
end

if stalled.status == "True" then
  return health("Degraded", words(stalled))
end
if ready.status == "False" and ready.reason == "NotServing" then
  return health("Degraded", words(ready))
end
-- What the probes say of a region that is down holds whatever else goes on. An app that was never ready is only on its way.
if ready.status == "True" and (failover.reason == "PrimaryUnhealthy" or failover.reason == "DRUnhealthy") then
  return health("Degraded", words(failover))
end

if spec.suspend == true then
  return health("Suspended", words(synced))
end
if synced.status == "False" and synced.reason == "Observed" then
  return health("Suspended", words(synced))
end

if reconciling.status == "True" then
  return health("Progressing", words(reconciling))
end
if ready.status ~= "True" then
  return health("Progressing", words(ready))
end

if failover.status == "False" then
  return health("Degraded", words(failover))
end
if replication.status == "False" then
  return health("Degraded", words(replication))
end

local message = words(ready) .. ". " .. words(failover)
local drill = obj.status.lastDrill
if drill ~= nil and drill.result == "Running" then
  message = message .. ". Drill " .. drill.id .. " is under way"
  if drill.phase ~= nil then
    message = message .. ": " .. drill.phase
  end
end
if obj.status.writer ~= nil and obj.status.writer.active == "DR" then
  message = message .. ". DR takes the writes"
end
return health("Healthy", message)
