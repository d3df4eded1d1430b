-- A token is done once. What the object was when it was asked for makes a new one each time, and the same one for a
-- second click that comes before the first was stored.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["multiregion.dev/drill"] = "argocd-" .. obj.metadata.resourceVersion
return obj
